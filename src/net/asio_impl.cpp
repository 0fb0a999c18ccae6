// The one place where the non-template halves of Asio and Beast are compiled.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/websocket/detail/mask.hpp>
// Each byte of a forwarded port is masked and unmasked once: the one loop here that is worth its size.
#pragma GCC push_options
#pragma GCC optimize("O3")
#include <boost/beast/websocket/detail/mask.ipp>
#pragma GCC pop_options
#include <boost/beast/src.hpp>
