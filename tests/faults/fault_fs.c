// A folder seen through FUSE, with faults on demand: what tests/faults/share.py mounts as the share.
//
//   fault_fs FOLDER RULE -f -o OPTIONS MOUNTPOINT
//
// RULE is a file of one line, "OPERATION N ERRNO HOW": the N-th such operation (counted from the moment when the file was replaced) fails with this number; HOW is `once`,
// `on` (all that follow it, too), or `done` (it is carried out and fails nevertheless, as when the reply of a server is lost). No file, or an empty one: no faults.
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *folder, *rule_file;

static int fault(const char *operation, int *after) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static struct timespec of;
  static char wanted[32], how[16];
  static int at, number, seen;
  int result = 0;
  *after = 0;
  pthread_mutex_lock(&lock);
  struct stat st;
  if (stat(rule_file, &st) != 0) st.st_mtim = (struct timespec){0, 0};
  if (st.st_mtim.tv_sec != of.tv_sec || st.st_mtim.tv_nsec != of.tv_nsec) {
    of = st.st_mtim;
    seen = at = 0;
    FILE *file = fopen(rule_file, "r");
    if (!file || fscanf(file, "%31s %d %d %15s", wanted, &at, &number, how) != 4) at = 0;
    if (file) fclose(file);
  }
  if (at && strcmp(wanted, operation) == 0 && (++seen == at || (seen > at && strcmp(how, "on") == 0))) {
    if (strcmp(how, "done") == 0) *after = -number;
    else result = -number;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

// One operation: the fault before it, its own result, the fault after it.
#define OPERATION(name, call)                       \
  do {                                              \
    int after, before = fault(name, &after);        \
    if (before) return before;                      \
    int result = (int)(call);                       \
    if (result < 0) return -errno;                  \
    return after ? after : result;                  \
  } while (0)

static const char *at(const char *path, char *buffer) {
  snprintf(buffer, 4096, "%s%s", folder, path);
  return buffer;
}
#define PATH(path) at(path, (char[4096]){0})

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) { OPERATION("getattr", fi ? fstat((int)fi->fh, st) : lstat(PATH(path), st)); }
static int do_access(const char *path, int mask) { OPERATION("access", access(PATH(path), mask)); }
static int do_mkdir(const char *path, mode_t mode) { OPERATION("mkdir", mkdir(PATH(path), mode)); }
static int do_unlink(const char *path) { OPERATION("unlink", unlink(PATH(path))); }
static int do_rmdir(const char *path) { OPERATION("rmdir", rmdir(PATH(path))); }
static int do_symlink(const char *to, const char *path) { OPERATION("symlink", symlink(to, PATH(path))); }
static int do_link(const char *from, const char *to) { OPERATION("link", link(PATH(from), PATH(to))); }
static int do_rename(const char *from, const char *to, unsigned int flags) { OPERATION("rename", renameat2(AT_FDCWD, PATH(from), AT_FDCWD, PATH(to), flags)); }
static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi) { OPERATION("chmod", chmod(PATH(path), mode)); }
static int do_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi) { OPERATION("chown", lchown(PATH(path), uid, gid)); }
static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi) { OPERATION("truncate", fi ? ftruncate((int)fi->fh, size) : truncate(PATH(path), size)); }
static int do_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi) { OPERATION("utimens", utimensat(AT_FDCWD, PATH(path), times, AT_SYMLINK_NOFOLLOW)); }
static int do_statfs(const char *path, struct statvfs *st) { OPERATION("statfs", statvfs(PATH(path), st)); }
static int do_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *fi) { OPERATION("read", pread((int)fi->fh, buffer, size, offset)); }
static int do_write(const char *path, const char *buffer, size_t size, off_t offset, struct fuse_file_info *fi) { OPERATION("write", pwrite((int)fi->fh, buffer, size, offset)); }
static int do_fallocate(const char *path, int mode, off_t offset, off_t size, struct fuse_file_info *fi) { OPERATION("fallocate", fallocate((int)fi->fh, mode, offset, size)); }
static int do_fsync(const char *path, int data_only, struct fuse_file_info *fi) { OPERATION("fsync", fsync((int)fi->fh)); }
static int do_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi) { OPERATION("fsyncdir", 0); }
static int do_flush(const char *path, struct fuse_file_info *fi) { OPERATION("flush", close(dup((int)fi->fh))); }

static int do_readlink(const char *path, char *buffer, size_t size) {
  ssize_t n = readlink(PATH(path), buffer, size - 1);
  if (n < 0) return -errno;
  buffer[n] = 0;
  return 0;
}

static int opened(int fd, struct fuse_file_info *fi) {
  if (fd < 0) return -1;
  fi->fh = (uint64_t)fd;
  return 0;
}
static int do_open(const char *path, struct fuse_file_info *fi) { OPERATION("open", opened(open(PATH(path), fi->flags & ~O_APPEND), fi)); }
static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi) { OPERATION("create", opened(open(PATH(path), (fi->flags & ~O_APPEND) | O_CREAT, mode), fi)); }
static int do_release(const char *path, struct fuse_file_info *fi) {
  close((int)fi->fh);
  return 0;
}

static int do_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi, enum fuse_readdir_flags flags) {
  int after, before = fault("readdir", &after);
  if (before) return before;
  DIR *dir = opendir(PATH(path));
  if (!dir) return -errno;
  for (struct dirent *entry; (entry = readdir(dir));) {
    struct stat st = {.st_ino = entry->d_ino, .st_mode = DTTOIF(entry->d_type)};
    if (fill(buffer, entry->d_name, &st, 0, 0)) break;
  }
  closedir(dir);
  return after;
}

// Inode numbers are those of the files, before and after a rename.
static void *do_init(struct fuse_conn_info *connection, struct fuse_config *config) {
  config->use_ino = 1;
  config->attr_timeout = config->entry_timeout = 0;
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 4) return 64;
  folder = argv[1];
  rule_file = argv[2];
  umask(0);
  static const struct fuse_operations operations = {
      .init = do_init, .getattr = do_getattr, .access = do_access, .mkdir = do_mkdir, .unlink = do_unlink, .rmdir = do_rmdir, .symlink = do_symlink, .link = do_link, .rename = do_rename,
      .chmod = do_chmod, .chown = do_chown, .truncate = do_truncate, .utimens = do_utimens, .statfs = do_statfs, .read = do_read, .write = do_write, .fallocate = do_fallocate,
      .fsync = do_fsync, .fsyncdir = do_fsyncdir, .flush = do_flush, .readlink = do_readlink, .open = do_open, .create = do_create, .release = do_release, .readdir = do_readdir};
  argv[2] = argv[0];
  return fuse_main(argc - 2, argv + 2, &operations, NULL);
}
