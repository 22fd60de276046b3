// Reads an object's BTF: the shape of its structs and where its variables lie. No JavaScript here.
#pragma once

#include <bpf/btf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace podgate {

struct Member {
  std::string name;  // empty for an anonymous member
  uint32_t offset;   // bytes; a bit-field's is that of the byte its first bit lies in
  uint32_t size;     // bytes of the member's type; 0 for a flexible array
};

struct Layout {
  std::string name;
  uint32_t size;
  std::vector<Member> members;
};

// Every named struct, in the order of the BTF.
std::vector<Layout> StructLayouts(const struct btf* btf);

struct Variable {
  uint32_t offset;  // within its section
  uint32_t size;
};

// The variable `name` of `section` (".rodata"), or nothing when there is none.
std::optional<Variable> FindVariable(const struct btf* btf, const char* section, const std::string& name);

}  // namespace podgate
