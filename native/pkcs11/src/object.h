// The objects of a token: private key, public key, certificates. They never change: a renewal brings
// other objects, and handles to the old ones stay good.
#pragma once

#include <string>

#include "attribute.h"
#include "crypto/certificate.h"
#include "crypto/public_key.h"
#include "mechanism/mechanism.h"

namespace tlskeep {

struct Object {
  CK_OBJECT_CLASS object_class;
  std::string label;     // the token's
  Bytes identity;        // of a key its fingerprint, of a certificate the SHA-256 of its DER
  bool private_object;   // seen by a logged-in user only
  AttributeSet attributes;
  // Of a private key: what C_SignInit needs.
  PublicKey public_key;
  std::vector<const Mechanism*> mechanisms;
};

// CKA_ID of the key pair and of the leaf certificate. It outlives renewals, as configured URIs have to.
inline constexpr std::uint8_t kKeyId[] = {0x01};

Object MakePrivateKey(const std::string& label, const PublicKey& key, const Certificate* leaf,
                      std::vector<const Mechanism*> mechanisms);
Object MakePublicKey(const std::string& label, const PublicKey& key, const Certificate* leaf);
// `position` in the chain: 0 is the leaf.
Object MakeCertificate(const Libcrypto& libcrypto, const std::string& label, const Certificate& certificate,
                       std::size_t position);

}  // namespace tlskeep
