/* GSSAPI for a static link: Debian has no archive of its library, and libssh's calls of it are not made, because that way to log in is never offered (RFC 2744).
 * Whoever calls one all the same is told GSS_S_FAILURE. Each of them returns an OM_uint32, so their arguments need no names. */
#define GSS_S_FAILURE (13u << 16)
#define FAILS(name) \
  unsigned name(void); \
  unsigned name(void) { return GSS_S_FAILURE; }

FAILS(gss_accept_sec_context)
FAILS(gss_acquire_cred)
FAILS(gss_add_oid_set_member)
FAILS(gss_create_empty_oid_set)
FAILS(gss_display_name)
FAILS(gss_display_status)
FAILS(gss_get_mic)
FAILS(gss_import_name)
FAILS(gss_indicate_mechs)
FAILS(gss_init_sec_context)
FAILS(gss_inquire_cred)
FAILS(gss_inquire_cred_by_mech)
FAILS(gss_release_buffer)
FAILS(gss_release_cred)
FAILS(gss_release_name)
FAILS(gss_release_oid_set)
FAILS(gss_test_oid_set_member)
FAILS(gss_verify_mic)

extern const void* const GSS_C_NT_USER_NAME;
extern const void* const GSS_C_NT_HOSTBASED_SERVICE;
const void* const GSS_C_NT_USER_NAME = 0;
const void* const GSS_C_NT_HOSTBASED_SERVICE = 0;
