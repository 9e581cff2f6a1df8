// Templates of a caller: every length, present and absent attributes, in buffers that the sanitizer guards.
#include <memory>
#include <vector>

#include "attribute.h"
#include "fuzz_input.h"

namespace {

using namespace tlskeep;

AttributeSet Sample() {
  AttributeSet set;
  set.SetNumber(CKA_CLASS, CKO_PRIVATE_KEY);
  set.SetBool(CKA_TOKEN, true);
  set.SetText(CKA_LABEL, "web");
  set.SetBytes(CKA_START_DATE, {});
  const Bytes id = {1};
  set.SetBytes(CKA_ID, id);
  set.SetSensitive(CKA_VALUE);
  return set;
}

constexpr CK_ATTRIBUTE_TYPE kTypes[] = {CKA_CLASS, CKA_TOKEN, CKA_LABEL, CKA_START_DATE, CKA_ID, CKA_VALUE, CKA_MODULUS};

}  // namespace

// A template: for each attribute its type (an index, or four bytes), its length, whether it has a buffer, and
// the buffer's content.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const AttributeSet set = Sample();
  fuzz::Input input(data, size);
  std::vector<CK_ATTRIBUTE> attributes;
  std::vector<std::unique_ptr<std::uint8_t[]>> buffers;
  while (!input.empty() && attributes.size() < 64) {
    const std::uint8_t chosen = input.Byte();
    const CK_ATTRIBUTE_TYPE type = chosen < std::size(kTypes) ? kTypes[chosen] : input.Take<std::uint32_t>();
    const std::uint8_t length = input.Byte();
    const bool buffer = (input.Byte() & 1) != 0;
    CK_ATTRIBUTE attribute{type, nullptr, length};
    if (buffer) {
      auto& memory = buffers.emplace_back(new std::uint8_t[length]);
      const ByteView content = input.Some(length);
      std::copy(content.begin(), content.end(), memory.get());
      std::fill(memory.get() + content.size(), memory.get() + length, std::uint8_t{0});
      attribute.pValue = memory.get();
    }
    attributes.push_back(attribute);
  }
  std::vector<CK_ATTRIBUTE> wanted;
  for (const CK_ATTRIBUTE& attribute : attributes) {
    // C_FindObjectsInit has refused null values that have a length.
    if (attribute.pValue != nullptr || attribute.ulValueLen == 0) wanted.push_back(attribute);
  }
  const bool matched = set.Matches(wanted);

  const std::vector<CK_ATTRIBUTE> before = attributes;
  const CK_RV rv = set.Fill(attributes);
  bool all_good = true;
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    const bool unavailable = attributes[i].ulValueLen == CK_UNAVAILABLE_INFORMATION;
    all_good = all_good && !unavailable;
    fuzz::Require(attributes[i].pValue == before[i].pValue && attributes[i].type == before[i].type);
    if (!unavailable && attributes[i].pValue != nullptr) {
      fuzz::Require(attributes[i].ulValueLen <= before[i].ulValueLen);
    }
  }
  fuzz::Require((rv == CKR_OK) == all_good);
  // What has been read matches what it was read from.
  if (all_good && matched) fuzz::Require(rv == CKR_OK);
  return 0;
}
