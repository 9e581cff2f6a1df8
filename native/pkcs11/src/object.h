// The objects of a token: private key, public key, certificates. They never change: a renewal brings
// other objects, and handles to the old ones stay good.
#pragma once

#include <string>

#include "attribute.h"
#include "crypto/certificate.h"
#include "crypto/public_key.h"
#include "mechanism/mechanism.h"

namespace tlskeep {

// What a signature reads stands in front: with a thousand keys each cache line counts.
struct Object {
  CK_OBJECT_CLASS object_class;
  bool private_object;  // seen by a logged-in user only
  std::string label;    // the token's
  // Of a key: what its operations need.
  std::vector<Offer> offers;
  std::vector<HashAlgorithm> hashes;  // of a private key: what the enclave's policy admits
  PublicKey public_key;

  Bytes identity;  // of a key its fingerprint, of a certificate the SHA-256 of its DER
  AttributeSet attributes;
};

// Whether a search for `wanted` finds the object. A key that is asked for by CKA_ID is found by each CKA_LABEL
// that it has in its life: consumers remember both, and look for it again in another process.
bool Matches(const Object& object, std::span<const CK_ATTRIBUTE> wanted);

// CKA_LABEL of a token's key in this state: "", "next" or "retiring".
std::string KeyLabel(const std::string& token_label, const std::string& state);

// `offers`: all mechanisms for the key. Each half takes its own uses of them.
Object MakePrivateKey(const std::string& label, const PublicKey& key, const Certificate* leaf,
                      std::span<const Offer> offers, std::vector<HashAlgorithm> hashes);
Object MakePublicKey(const std::string& label, const PublicKey& key, const Certificate* leaf,
                     std::span<const Offer> offers);
// `position` in the chain: 0 is the leaf.
Object MakeCertificate(const Libcrypto& libcrypto, const std::string& label, const Certificate& certificate,
                       std::size_t position);

}  // namespace tlskeep
