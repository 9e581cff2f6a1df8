// Requests for signatures: the reader, the rules they are held against, and the answer's writer.
#include "signing/sign_message.h"

#include <algorithm>

#include "fuzz_input.h"
#include "signing/key_directory.h"
#include "wire/cbor.h"

namespace {

using namespace tlskeep;

constexpr const char* kMechanisms[] = {"RSA_PKCS", "RSA_PKCS_PSS", "ECDSA", "EDDSA", "RSA_X_509"};
constexpr const char* kHashes[] = {"SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"};

bool Equal(ByteView a, ByteView b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// What was read, written in the shortest way.
Bytes Write(const SignMessage& message) {
  CborWriter writer;
  writer.Array(6);
  writer.Unsigned(message.id);
  writer.Text("sign");
  writer.ByteString(message.fingerprint);
  writer.Text(kMechanisms[static_cast<std::size_t>(message.request.mechanism)]);
  writer.ByteString(message.request.data);
  if (message.request.mechanism == Mechanism::kRsaPkcsPss) {
    writer.Array(2);
    writer.Text(kHashes[static_cast<std::size_t>(message.request.hash)]);
    writer.Unsigned(message.request.salt_length);
  } else {
    writer.Null();
  }
  return std::move(writer).Take();
}

void RequireTheSame(const SignMessage& a, const SignMessage& b) {
  fuzz::Require(a.id == b.id && Equal(a.fingerprint, b.fingerprint));
  fuzz::Require(a.request.mechanism == b.request.mechanism && Equal(a.request.data, b.request.data));
  fuzz::Require(a.request.hash == b.request.hash && a.request.salt_length == b.request.salt_length);
}

// The signature is made of the request's data, as far as there is room.
void RequireAnswer(const SignMessage& message) {
  Signature signature;
  signature.size = std::min(message.request.data.size(), signature.bytes.size());
  std::copy_n(message.request.data.begin(), signature.size, signature.bytes.begin());
  SignAnswerBuffer buffer;
  const ByteView frame = WriteSignAnswer(message.id, signature, buffer);
  const std::size_t length =
      std::size_t{frame[0]} << 24 | std::size_t{frame[1]} << 16 | std::size_t{frame[2]} << 8 | frame[3];
  fuzz::Require(length == frame.size() - 4);
  CborReader reader(frame.subspan(4));
  fuzz::Require(reader.Array() == 3 && reader.Unsigned() == message.id && reader.Unsigned() == 0);
  fuzz::Require(Equal(reader.ByteString(), {signature.bytes.data(), signature.size}) && reader.AtEnd());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes payload(data, data + size);  // in memory of its own, for the sanitizer to guard
  const auto message = ReadSignMessage(payload);
  if (!message) return 0;
  const Bytes written = Write(*message);
  fuzz::Require(written.size() <= payload.size());
  const auto again = ReadSignMessage(written);
  fuzz::Require(again.has_value());
  RequireTheSame(*message, *again);
  RequireAnswer(*message);
  for (const std::uint32_t hashes : {0b11100U, 0b11111U}) {
    Admits({.mechanisms = 0b11111, .hashes = hashes, .min_ecdsa_bytes = 20, .max_ecdsa_bytes = 64}, message->request);
  }
  return 0;
}
