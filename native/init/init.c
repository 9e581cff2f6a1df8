/* PID 1 of an enclave image that nitro-cli has not built: mounts what the program needs, loads the
 * kernel's modules, tells the parent that the enclave boots, runs the program and ends with it.
 *
 * Images that nitro-cli builds bring AWS's own init, which does the same; this one is for images of
 * `tlskeep eif build`, such as those that boot in a virtual machine. All that it goes by is in the
 * image, and so measured:
 *   /modules/NAME.ko  kernel modules, loaded in the order of their names
 *   /cmd              the program and its arguments, a line each
 *   /env              its environment, NAME=value, a line each
 *   PARENT_CID        at compile time: where the boot heartbeat goes, 3 on Nitro hardware
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PARENT_CID
#define PARENT_CID 3u
#endif
#define HEARTBEAT_PORT 9000u
/* The byte that is sent, and that comes back once the parent has taken note. */
#define HEARTBEAT 0xb7

#define MAX_WORDS 64
#define MAX_MODULES 64
#define MAX_FILE_BYTES 65536

/* Says why on the console and ends the enclave: there is nobody else to tell. */
static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void fail(const char *format, ...) {
  const int error = errno;
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "init: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  va_end(arguments);
  sync();
  reboot(RB_AUTOBOOT);
  _exit(1);
}

static void mount_at(const char *type, const char *path) {
  if (mkdir(path, 0755) < 0 && errno != EEXIST) fail("mkdir %s", path);
  if (mount(type, path, type, MS_NOSUID | MS_NOEXEC, "") < 0 && errno != EBUSY) {
    fail("mount %s", path);
  }
}

/* The console was opened before /dev was mounted, or not at all. */
static void open_console(void) {
  const int console = open("/dev/console", O_RDWR);
  if (console < 0) return;
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
  if (console > 2) close(console);
}

static int is_module(const struct dirent *entry) {
  const size_t length = strlen(entry->d_name);
  return length > 3 && strcmp(entry->d_name + length - 3, ".ko") == 0;
}

static void load_modules(void) {
  struct dirent **entries = NULL;
  const int count = scandir("/modules", &entries, is_module, alphasort);
  if (count < 0 && errno == ENOENT) return;
  if (count < 0 || count > MAX_MODULES) fail("/modules");
  for (int i = 0; i < count; i++) {
    char path[512];
    snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0) fail("load %s", path);
    close(fd);
    free(entries[i]);
  }
  free(entries);
}

static void bring_up_loopback(void) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return; /* a kernel without IPv4 needs none */
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) fail("bring up lo");
  close(fd);
}

/* The parent that started the enclave waits for this. */
static void send_heartbeat(void) {
  struct sockaddr_vm parent = {0};
  parent.svm_family = AF_VSOCK;
  parent.svm_cid = PARENT_CID;
  parent.svm_port = HEARTBEAT_PORT;
  unsigned char byte = HEARTBEAT;
  const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("AF_VSOCK");
  if (connect(fd, (struct sockaddr *)&parent, sizeof parent) < 0) fail("heartbeat: connect");
  if (write(fd, &byte, 1) != 1) fail("heartbeat: write");
  byte = 0;
  if (read(fd, &byte, 1) != 1 || byte != HEARTBEAT) fail("heartbeat: answer 0x%02x", byte);
  close(fd);
}

/* Splits a file into its lines; the words point into memory that stays. */
static void read_lines(const char *path, char *words[MAX_WORDS + 1]) {
  char *text = malloc(MAX_FILE_BYTES);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (text == NULL || fd < 0) fail("open %s", path);
  const ssize_t length = read(fd, text, MAX_FILE_BYTES - 1);
  if (length < 0) fail("read %s", path);
  text[length] = '\0';
  close(fd);
  int count = 0;
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (count == MAX_WORDS) fail("%s has too many lines", path);
    words[count++] = line;
  }
  words[count] = NULL;
}

/* Runs the program and takes leave of every orphan until it ends. */
static int run_program(void) {
  char *arguments[MAX_WORDS + 1];
  char *environment[MAX_WORDS + 1];
  read_lines("/cmd", arguments);
  read_lines("/env", environment);
  if (arguments[0] == NULL) fail("/cmd is empty");
  const pid_t program = fork();
  if (program < 0) fail("fork");
  if (program == 0) {
    setsid();
    execve(arguments[0], arguments, environment);
    fprintf(stderr, "init: %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
  }
  for (;;) {
    int status = 0;
    const pid_t ended = wait(&status);
    if (ended == program) return status;
    if (ended < 0 && errno != EINTR) fail("wait");
  }
}

int main(void) {
  mount_at("devtmpfs", "/dev");
  open_console();
  mount_at("proc", "/proc");
  mount_at("sysfs", "/sys");
  mount_at("tmpfs", "/tmp");
  load_modules();
  bring_up_loopback();
  send_heartbeat();
  const int status = run_program();
  if (WIFSIGNALED(status)) {
    fprintf(stderr, "init: the program ended by signal %d\n", WTERMSIG(status));
  } else {
    fprintf(stderr, "init: the program ended with %d\n", WEXITSTATUS(status));
  }
  sync();
  reboot(RB_AUTOBOOT);
  return 1;
}
