// Only in -Dlink=static programs: see --wrap=__register_frame_info in the top meson.build.
extern "C" {
void __wrap___register_frame_info(const void*, void*) {}
void* __wrap___deregister_frame_info(const void*) { return nullptr; }
}
