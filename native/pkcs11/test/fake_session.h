// What the fake enclave knows of one connection.
#pragma once

#include <set>
#include <string>

#include "fake_enclave.h"

namespace tlskeep::test {

struct FakeEnclave::Session {
  bool greeted = false;
  int wrong_pins = 0;
  std::set<std::string> logged_in;
  std::string op;
  bool close = false;
};

}  // namespace tlskeep::test
