// The service's side of PROTOCOL.md.
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "fake_session.h"
#include "fake_wire.h"
#include "wire/transport_error.h"

namespace tlskeep::test {
namespace {

bool IsRsa(const Key& key) { return EVP_PKEY_is_a(key.get(), "RSA") == 1; }

bool IsEd25519(const Key& key) { return EVP_PKEY_is_a(key.get(), "ED25519") == 1; }

// The DigestInfos of the usage policies: everything but the digest and its length is fixed.
bool IsDigestInfo(ByteView data, bool general) {
  struct Form {
    std::uint8_t hash_arc;
    std::uint8_t digest_bytes;
    bool general;
  };
  const Bytes sha1 = {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14};
  if (general && data.size() == sha1.size() + 20 && std::equal(sha1.begin(), sha1.end(), data.begin())) return true;
  for (const Form form : {Form{1, 32, false}, Form{2, 48, false}, Form{3, 64, false}, Form{4, 28, true}}) {
    if (form.general && !general) continue;
    const std::array<std::uint8_t, 19> head = {
        0x30, static_cast<std::uint8_t>(17 + form.digest_bytes), 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
        0x65, 0x03, 0x04, 0x02, form.hash_arc, 0x05, 0x00, 0x04, form.digest_bytes};
    if (data.size() == head.size() + form.digest_bytes && std::equal(head.begin(), head.end(), data.begin())) {
      return true;
    }
  }
  return false;
}

std::size_t DigestBytes(std::string_view hash, bool general) {
  if (general && hash == "SHA-1") return 20;
  if (general && hash == "SHA-224") return 28;
  if (hash == "SHA-256") return 32;
  if (hash == "SHA-384") return 48;
  if (hash == "SHA-512") return 64;
  return 0;
}

void WriteTexts(CborWriter& writer, const std::vector<const char*>& texts) {
  writer.Array(texts.size());
  for (const char* text : texts) writer.Text(text);
}

std::vector<const char*> SignMechanisms(const Key& key, bool general) {
  if (IsEd25519(key)) return {"EDDSA"};
  if (!IsRsa(key)) return {"ECDSA"};
  if (general) return {"RSA_PKCS", "RSA_PKCS_PSS", "RSA_X_509"};
  return {"RSA_PKCS", "RSA_PKCS_PSS"};
}

std::vector<const char*> DecryptMechanisms(const Key& key, bool general) {
  if (!general || !IsRsa(key)) return {};
  return {"RSA_PKCS", "RSA_PKCS_OAEP", "RSA_X_509"};
}

std::vector<const char*> Hashes(bool general) {
  if (general) return {"SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"};
  return {"SHA-256", "SHA-384", "SHA-512"};
}

void WriteFurtherKeys(CborWriter& writer, const FakeToken& token, bool general) {
  std::vector<std::pair<const char*, Key>> keys;
  if (token.next != nullptr) keys.emplace_back("next", token.next);
  if (token.retiring != nullptr) keys.emplace_back("retiring", token.retiring);
  writer.Array(keys.size());
  for (const auto& [state, key] : keys) {
    writer.Map(6);
    writer.Text("state");
    writer.Text(state);
    writer.Text("publicKey");
    writer.ByteString(PublicKeyInfo(key));
    writer.Text("mechanisms");
    WriteTexts(writer, SignMechanisms(key, general));
    writer.Text("hashes");
    WriteTexts(writer, Hashes(general));
    writer.Text("decryptMechanisms");
    WriteTexts(writer, DecryptMechanisms(key, general));
    writer.Text("future");
    WriteTexts(writer, {"a"});
  }
}

}  // namespace

Bytes FakeEnclave::AnswerList(std::uint64_t id, std::uint64_t offset) const {
  CborWriter writer = OkAnswer(id);
  writer.Array(3);
  writer.Unsigned(generation_);
  writer.Unsigned(tokens_.size());
  const std::size_t begin = std::min<std::size_t>(offset, tokens_.size());
  const std::size_t count = std::min<std::size_t>(tokens_.size() - begin, page_size_);
  writer.Array(count);
  for (std::size_t i = begin; i < begin + count; ++i) {
    const FakeToken& token = tokens_[i];
    writer.Map(first_edition_ ? 5 : 9);
    writer.Text("label");
    writer.Text(token.label);
    writer.Text("certificates");
    writer.Array(token.certificates.size());
    for (const Bytes& der : token.certificates) writer.ByteString(der);
    writer.Text("publicKey");
    writer.ByteString(PublicKeyInfo(token.key));
    writer.Text("mechanisms");
    WriteTexts(writer, SignMechanisms(token.key, general_));
    writer.Text("expires");
    writer.Unsigned(4'102'444'800);
    if (first_edition_) continue;
    writer.Text("hashes");
    WriteTexts(writer, Hashes(general_));
    writer.Text("decryptMechanisms");
    WriteTexts(writer, DecryptMechanisms(token.key, general_));
    writer.Text("furtherKeys");
    WriteFurtherKeys(writer, token, general_);
    // What a later service may add.
    writer.Text("future");
    writer.Map(1);
    writer.Text("nested");
    WriteTexts(writer, {"a", "b"});
  }
  return std::move(writer).Take();
}

StatusCode FakeEnclave::FindKey(const Session& session, ByteView fingerprint, Key& key) const {
  const std::lock_guard lock(mutex_);
  for (const FakeToken& token : tokens_) {
    for (const Key& candidate : {token.key, token.next, token.retiring}) {
      if (candidate == nullptr) continue;
      const Bytes own = Sha("SHA256", PublicKeyInfo(candidate));
      if (!std::equal(own.begin(), own.end(), fingerprint.begin(), fingerprint.end())) continue;
      key = candidate;
      return session.logged_in.contains(token.label) ? kOk : kLoginRequired;
    }
  }
  return kUnknownKey;
}

Bytes FakeEnclave::Answer(Session& session, ByteView body) {
  std::uint64_t id = 0;
  try {
    CborReader reader(body);
    if (reader.Array() < 2) throw TransportError("too short");
    id = reader.Unsigned();
    session.op = std::string(reader.Text());
    const std::string& op = session.op;
    std::unique_lock lock(mutex_);
    ++requests_[op];
    if (op == "hello") {
      reader.Unsigned();
      session.greeted = true;
      return Bare(id, 1);
    }
    if (!session.greeted) return Refusal(id, kHelloRequired);
    if (op == "generation") return Bare(id, generation_);
    if (op == "list") {
      const std::uint64_t offset = reader.Unsigned();
      return AnswerList(id, offset);
    }
    if (op == "login") {
      const std::string label(reader.Text());
      const std::string pin(reader.Text());
      const auto found = std::find_if(tokens_.begin(), tokens_.end(),
                                      [&](const FakeToken& token) { return token.label == label; });
      if (found == tokens_.end()) return Refusal(id, kUnknownToken);
      if (found->pin != pin) {
        session.close = ++session.wrong_pins == 5;
        return Refusal(id, kPinIncorrect);
      }
      session.logged_in.insert(label);
      CborWriter writer = OkAnswer(id);
      writer.Null();
      return std::move(writer).Take();
    }
    lock.unlock();
    if (op == "random") {
      const std::uint64_t size = reader.Unsigned();
      if (size < 1 || size > 1024) return Refusal(id, kDataLenRange);
      Bytes random(static_cast<std::size_t>(size));
      RAND_bytes(random.data(), static_cast<int>(random.size()));
      return BytesAnswer(id, random);
    }
    if (op == "sign") return AnswerSign(session, id, reader);
    if (op == "decrypt") return AnswerDecrypt(session, id, reader);
    return Refusal(id, kUnknownOp);
  } catch (const TransportError&) {
    session.close = id == 0;
    return Refusal(id, kMalformedRequest);
  }
}

Bytes FakeEnclave::AnswerSign(Session& session, std::uint64_t id, CborReader& reader) {
  const Bytes fingerprint = ToBytes(reader.ByteString());
  const std::string mechanism(reader.Text());
  const Bytes data = ToBytes(reader.ByteString());
  std::string hash;
  std::uint64_t salt = 0;
  if (mechanism == "RSA_PKCS_PSS") {
    if (reader.Array() != 2) throw TransportError("parameter");
    hash = reader.Text();
    salt = reader.Unsigned();
  } else {
    reader.Null();
  }
  if (!reader.AtEnd()) throw TransportError("trailing");

  const bool general = general_;
  Key key;
  if (const StatusCode refusal = FindKey(session, fingerprint, key); refusal != kOk) return Refusal(id, refusal);
  if (fast_signature_ > 0) return BytesAnswer(id, Bytes(fast_signature_, 0x5a));

  Bytes signature;
  if (mechanism == "RSA_PKCS" && IsRsa(key)) {
    if (!IsDigestInfo(data, general)) return Refusal(id, kDataRefused);
    signature = SignRsaPkcs(key, data);
  } else if (mechanism == "RSA_PKCS_PSS" && IsRsa(key)) {
    if (DigestBytes(hash, general) == 0 || salt > static_cast<std::uint64_t>(EVP_PKEY_get_size(key.get()))) {
      return Refusal(id, kMechanismParamRefused);
    }
    if (data.size() != DigestBytes(hash, general)) return Refusal(id, kDataLenRange);
    signature = SignRsaPss(key, hash, static_cast<int>(salt), data);
  } else if (mechanism == "RSA_X_509" && general && IsRsa(key)) {
    if (data.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key.get()))) return Refusal(id, kDataLenRange);
    signature = SignRsaRaw(key, data);
    if (signature.empty()) return Refusal(id, kDataRefused);
  } else if (mechanism == "EDDSA" && IsEd25519(key)) {
    if (data.size() > 60'000) return Refusal(id, kDataLenRange);
    signature = SignEddsa(key, data);
  } else if (mechanism == "ECDSA" && EVP_PKEY_is_a(key.get(), "EC") == 1) {
    if (data.size() < (general ? 20U : 32U) || data.size() > 64) return Refusal(id, kDataLenRange);
    signature = SignEcdsa(key, data);
  } else {
    return Refusal(id, kMechanismRefused);
  }
  if (signature.empty()) return Refusal(id, kMechanismParamRefused);
  return BytesAnswer(id, signature);
}

Bytes FakeEnclave::AnswerDecrypt(Session& session, std::uint64_t id, CborReader& reader) {
  const Bytes fingerprint = ToBytes(reader.ByteString());
  RsaPadding padding{std::string(reader.Text()), {}, {}, {}};
  const Bytes data = ToBytes(reader.ByteString());
  if (padding.mechanism == "RSA_PKCS_OAEP") {
    if (reader.Array() != 3) throw TransportError("parameter");
    padding.hash = reader.Text();
    padding.mgf_hash = reader.Text();
    padding.label = ToBytes(reader.ByteString());
  } else {
    reader.Null();
  }
  if (!reader.AtEnd()) throw TransportError("trailing");
  Key key;
  if (const StatusCode refusal = FindKey(session, fingerprint, key); refusal != kOk) return Refusal(id, refusal);
  const auto allowed = DecryptMechanisms(key, general_);
  if (std::find(allowed.begin(), allowed.end(), padding.mechanism) == allowed.end()) {
    return Refusal(id, kMechanismRefused);
  }
  if (data.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key.get()))) {
    return Refusal(id, kEncryptedDataLenRange);
  }
  const std::optional<Bytes> plain = DecryptRsa(key, padding, data);
  return plain ? BytesAnswer(id, *plain) : Refusal(id, kEncryptedDataInvalid);
}

}  // namespace tlskeep::test
