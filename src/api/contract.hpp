// What goes over the wire, in a notation for people: openapi.cpp makes JSON Schema of it, and tests/daemon/test_openapi.py holds the answers of a real host against it.
#pragma once
#include <string_view>

namespace riverbox::api {

// One shape in each line:
//   Name field:type field?:type +Other    an object. `?`: it may be left out. `+`: the fields of Other, too
//   Name =type                            another name of a type
// A type is string, integer, number, boolean, time (RFC 3339), any, null, 'one,of,these', the name of a shape, type[] (a list), type{} (an object whose keys are names), type|type.
extern const std::string_view kShapes;

// One route in each line, in the /api dialect:
//   METHOD pattern ?query,parameters <Body >Answer >201:Answer >text/plain
extern const std::string_view kExchanges;

}  // namespace riverbox::api
