// Numbers objects in the order in which they are first seen.
#include "object_table.h"

namespace tlskeep {

CK_OBJECT_HANDLE ObjectTable::Add(std::shared_ptr<const Object> object, CK_SLOT_ID slot) {
  Identity identity{object->label, object->object_class, object->identity};
  auto known = handles_.find(identity);
  if (known == handles_.end()) {
    // The entry first: a handle that had none, for want of memory, would be given to another object too.
    entries_.emplace_back();
    known = handles_.emplace(std::move(identity), entries_.size() - 1).first;
  }
  entries_[known->second] = {std::move(object), slot};
  return known->second;
}

const ObjectTable::Entry& ObjectTable::Find(CK_OBJECT_HANDLE handle) const {
  return entries_[handle < entries_.size() ? handle : CK_INVALID_HANDLE];
}

}  // namespace tlskeep
