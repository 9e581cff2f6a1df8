// tlskeep-fake-enclave: the fake enclave as a program, to try consumers of the module against.
//
// Usage: tlskeep-fake-enclave [--general] SOCKET LABEL:PIN:KIND[:CHAIN.pem] ...
// KIND is rsa2048, rsa3072, rsa4096, p256, p384 or ed25519. --general: under the usage policy of that name. The certificate chain, for the name localhost, is
// written to CHAIN.pem. Prints "ready" when it listens and ends on SIGTERM, SIGINT or the end of its input.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "fake_enclave.h"

namespace {

using namespace tlskeep::test;

volatile sig_atomic_t stopping = 0;

void OnSignal(int) { stopping = 1; }

FakeToken ParseToken(const std::string& argument) {
  std::istringstream parts(argument);
  std::string label, pin, kind, chain;
  std::getline(parts, label, ':');
  std::getline(parts, pin, ':');
  std::getline(parts, kind, ':');
  std::getline(parts, chain);
  FakeToken token = MakeFakeToken(label, pin, KeyKindNamed(kind));
  if (!chain.empty()) std::ofstream(chain) << ChainPem(token.certificates);
  return token;
}

void WaitForEnd() {
  while (stopping == 0) {
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, -1) <= 0) continue;
    char bytes[256];
    if (read(STDIN_FILENO, bytes, sizeof bytes) <= 0) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool general = argc > 1 && std::string(argv[1]) == "--general";
  const int first = general ? 2 : 1;
  if (argc < first + 2) {
    std::fprintf(stderr, "usage: %s [--general] SOCKET LABEL:PIN:KIND[:CHAIN.pem] ...\n", argv[0]);
    return EXIT_FAILURE;
  }
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  try {
    FakeEnclave enclave(argv[first]);
    enclave.SetGeneral(general);
    for (int i = first + 1; i < argc; ++i) enclave.Provision(ParseToken(argv[i]));
    std::puts("ready");
    std::fflush(stdout);
    WaitForEnd();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
