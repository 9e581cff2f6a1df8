/*
 * Preloaded into a child process by the tests: plays the NSM driver behind ioctl(), and AF_VSOCK by
 * TCP on the loopback, so that the addon's own calls run unchanged where neither exists.
 *
 * NSM requests, by their first byte: 'r' answers with the rest of the request reversed; 'm' with the
 * largest number of callers ever inside at once; 'f' with an answer that fills the buffer; 't' fails
 * with ETIMEDOUT; 'b' fails unless the buffer has 0x3000 bytes. Each takes 10 ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

struct nsm_iovec {
  uint64_t addr, len;
};
struct nsm_raw {
  struct nsm_iovec request, response;
};

/* Connecting to this CID stays in progress for ever; every other one is this machine. */
#define SILENT_CID 7

static atomic_int inside, most_inside;
static atomic_bool is_vsock[4096]; /* by descriptor */

static int nsm(struct nsm_raw *raw) {
  int now = atomic_fetch_add(&inside, 1) + 1;
  if (now > atomic_load(&most_inside)) atomic_store(&most_inside, now);
  usleep(10000);
  const uint8_t *request = (const uint8_t *)(uintptr_t)raw->request.addr;
  uint8_t *response = (uint8_t *)(uintptr_t)raw->response.addr;
  int error = 0;
  switch (request[0]) {
    case 'r':
      raw->response.len = raw->request.len - 1;
      for (uint64_t i = 0; i < raw->response.len; i++)
        response[i] = request[raw->request.len - 1 - i];
      break;
    case 'm':
      response[0] = (uint8_t)atomic_load(&most_inside);
      raw->response.len = 1;
      break;
    case 'f':
      memset(response, 1, raw->response.len);
      break;
    case 'b':
      if (raw->response.len != 0x3000) error = EINVAL;
      memset(response, 2, 0x2fff);
      raw->response.len = 0x2fff;
      break;
    default:
      error = ETIMEDOUT;
  }
  atomic_fetch_sub(&inside, 1);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (request == 0xC0200A00UL) return nsm(argument);
  int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
  return next(fd, request, argument);
}

int socket(int domain, int type, int protocol) {
  int (*next)(int, int, int) = dlsym(RTLD_NEXT, "socket");
  int vsock = domain == AF_VSOCK;
  int fd = vsock ? next(AF_INET, type, 0) : next(domain, type, protocol);
  if (fd >= 0 && fd < 4096) atomic_store(&is_vsock[fd], vsock);
  return fd;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  if (level == AF_VSOCK) return 0;
  int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
  return next(fd, level, name, value, size);
}

static struct sockaddr_in loopback(const struct sockaddr *address) {
  const struct sockaddr_vm *vm = (const struct sockaddr_vm *)address;
  struct sockaddr_in in = {.sin_family = AF_INET};
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  in.sin_port = htons(vm->svm_port == VMADDR_PORT_ANY ? 0 : (uint16_t)vm->svm_port);
  return in;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
  int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
  if (address->sa_family != AF_VSOCK) return next(fd, address, size);
  if (((const struct sockaddr_vm *)address)->svm_cid == SILENT_CID) {
    if (listen(fd, 1) != 0) return -1; /* never becomes writable */
    errno = EINPROGRESS;
    return -1;
  }
  struct sockaddr_in in = loopback(address);
  return next(fd, (struct sockaddr *)&in, sizeof in);
}

int bind(int fd, const struct sockaddr *address, socklen_t size) {
  int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
  if (address->sa_family != AF_VSOCK) return next(fd, address, size);
  struct sockaddr_in in = loopback(address);
  return next(fd, (struct sockaddr *)&in, sizeof in);
}

static void as_vsock(struct sockaddr *address, socklen_t *size, unsigned cid) {
  struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = cid};
  vm.svm_port = ntohs(((struct sockaddr_in *)address)->sin_port);
  memcpy(address, &vm, sizeof vm);
  *size = sizeof vm;
}

int getsockname(int fd, struct sockaddr *address, socklen_t *size) {
  int (*next)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "getsockname");
  int result = next(fd, address, size);
  if (result == 0 && fd < 4096 && is_vsock[fd] && address->sa_family == AF_INET)
    as_vsock(address, size, VMADDR_CID_ANY);
  return result;
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
  int (*next)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
  int result = next(fd, address, size, flags);
  if (result >= 0 && fd < 4096 && is_vsock[fd] && address != NULL) as_vsock(address, size, 4);
  return result;
}
