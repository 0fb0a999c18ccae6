// Connections are cut off in the middle here, loop and all: what their pending reads hold is not freed by Asio, which is no leak of a
// program whose loop ends with it. Every other check stays on.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
