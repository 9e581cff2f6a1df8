// Answers of the enclave: the decoder, and the tokens that are built from a list.
#include "client/messages.h"
#include "fuzz_input.h"
#include "token.h"
#include "wire/transport_error.h"

namespace {

using namespace tlskeep;

// Builds what can be built, as TokenDirectory does.
void UseList(ListPage page) {
  static Libcrypto libcrypto;
  for (ListedToken& token : page.tokens) {
    try {
      MakeToken(libcrypto, std::move(token));
    } catch (const std::runtime_error&) {
    }
  }
}

}  // namespace

// The first byte chooses the kind of answer that is expected; the rest is the frame's body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t kind = input.Byte();
  const Bytes body = ToBytes(input.Rest());  // in memory of its own, for the sanitizer to guard
  try {
    const Answer answer = OpenAnswer(body);
    if (answer.status.status != Status::kOk) return 0;
    switch (kind % 4) {
      case 0:
        UseList(ListResult(answer));
        break;
      case 1:
        UnsignedResult(answer);
        break;
      case 2:
        BytesResult(answer);
        break;
      default:
        NullResult(answer);
        break;
    }
  } catch (const TransportError&) {
  }
  return 0;
}
