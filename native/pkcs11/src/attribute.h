// Attributes of an object, and the rules by which C_GetAttributeValue and templates read them.
#pragma once

#include <span>
#include <vector>

#include "cryptoki.h"
#include "wire/bytes.h"

namespace tlskeep {

// Some thirty values for each object, of a few bytes each and for thousands of objects in every process of a
// web server: they lie behind one another in one block, since nodes of a map took ten times the room.
class AttributeSet {
 public:
  void SetBytes(CK_ATTRIBUTE_TYPE type, ByteView value);
  void SetText(CK_ATTRIBUTE_TYPE type, std::string_view value) { SetBytes(type, AsBytes(value)); }
  void SetBool(CK_ATTRIBUTE_TYPE type, bool value);
  void SetNumber(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  // An attribute that the object has and never shows.
  void SetSensitive(CK_ATTRIBUTE_TYPE type) { sensitive_.push_back(type); }
  // Gives back what growing has taken: nothing more will be set.
  void ShrinkToFit();

  // Answers a C_GetAttributeValue: every entry of the template is handled, and the CK_RV is that of one
  // that failed (PKCS #11 v2.40 base, C_GetAttributeValue, the five cases).
  CK_RV Fill(std::span<CK_ATTRIBUTE> attributes) const;
  // Whether each attribute of the template has exactly the value given there.
  bool Matches(std::span<const CK_ATTRIBUTE> attributes) const;
  // The bytes of all values, for C_GetObjectSize.
  std::size_t size() const;

 private:
  struct Value {
    CK_ATTRIBUTE_TYPE type;
    std::uint32_t offset;  // in bytes_
    std::uint32_t size;
  };
  // Null if the object does not have it.
  const Value* Find(CK_ATTRIBUTE_TYPE type) const;
  ByteView BytesOf(const Value& value) const { return ByteView(bytes_).subspan(value.offset, value.size); }
  CK_RV FillOne(CK_ATTRIBUTE& attribute) const;

  std::vector<Value> values_;  // in the order of their types
  Bytes bytes_;
  std::vector<CK_ATTRIBUTE_TYPE> sensitive_;
};

}  // namespace tlskeep
