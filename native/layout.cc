#include "layout.h"

namespace podgate {
namespace {

std::string NameAt(const struct btf* btf, uint32_t offset) {
  const char* name = btf__name_by_offset(btf, offset);
  return name == nullptr ? "" : name;
}

std::vector<Member> Members(const struct btf* btf, const struct btf_type* type) {
  std::vector<Member> members;
  const struct btf_member* raw = btf_members(type);
  for (uint32_t i = 0; i < btf_vlen(type); i++) {
    int64_t size = btf__resolve_size(btf, raw[i].type);
    members.push_back({NameAt(btf, raw[i].name_off), btf_member_bit_offset(type, i) / 8,
                       size < 0 ? 0 : static_cast<uint32_t>(size)});
  }
  return members;
}

}  // namespace

std::vector<Layout> StructLayouts(const struct btf* btf) {
  std::vector<Layout> layouts;
  for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
    const struct btf_type* type = btf__type_by_id(btf, id);
    if (!btf_is_struct(type)) continue;
    std::string name = NameAt(btf, type->name_off);
    if (!name.empty()) layouts.push_back({name, type->size, Members(btf, type)});
  }
  return layouts;
}

std::optional<Variable> FindVariable(const struct btf* btf, const char* section, const std::string& name) {
  int id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
  if (id < 0) return std::nullopt;
  const struct btf_type* datasec = btf__type_by_id(btf, static_cast<uint32_t>(id));
  const struct btf_var_secinfo* entries = btf_var_secinfos(datasec);
  for (uint32_t i = 0; i < btf_vlen(datasec); i++) {
    const struct btf_type* variable = btf__type_by_id(btf, entries[i].type);
    if (NameAt(btf, variable->name_off) == name) return Variable{entries[i].offset, entries[i].size};
  }
  return std::nullopt;
}

}  // namespace podgate
