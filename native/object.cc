#include "object.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "arguments.h"
#include "error.h"
#include "layout.h"
#include "map.h"
#include "program.h"

namespace podgate {

Napi::Function BpfObject::Define(Napi::Env env) {
  return DefineClass(env, "BpfObject",
                     {InstanceMethod<&BpfObject::SetGlobal>("setGlobal"),
                      InstanceMethod<&BpfObject::SetPinPath>("setPinPath"),
                      InstanceMethod<&BpfObject::Load>("load"), InstanceMethod<&BpfObject::Program>("program"),
                      InstanceMethod<&BpfObject::Map>("map"), InstanceMethod<&BpfObject::MapNames>("mapNames"),
                      InstanceMethod<&BpfObject::ProgramNames>("programNames"),
                      InstanceMethod<&BpfObject::Structs>("structs"), InstanceMethod<&BpfObject::Close>("close")});
}

BpfObject::BpfObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "open object " + path;
  struct stat status;
  if (stat(path.c_str(), &status) != 0) Fail(env, operation, errno);
  // Opening a FIFO or a device would block or never end.
  if (!S_ISREG(status.st_mode)) Fail(env, operation, EINVAL, "not a regular file");
  LibbpfLog log;
  object_ = bpf_object__open_file(path.c_str(), nullptr);
  if (object_ == nullptr) Fail(env, operation, errno, log.Text());
}

BpfObject::~BpfObject() { bpf_object__close(object_); }

void BpfObject::SetGlobal(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = NameArgument(info, 0, "name");
  Bytes value = BytesArgument(info, 1, "value");
  std::string operation = "set global " + name;
  CheckNotLoaded(env, operation);
  struct bpf_map* map = bpf_object__find_map_by_name(object_, ".rodata");
  auto variable = FindVariable(Btf(env, operation), ".rodata", name);
  if (map == nullptr || !variable) Fail(env, operation, ENOENT, "no `const volatile` variable has that name");
  if (value.length != variable->size) {
    FailRange(env, operation + ": value must have " + std::to_string(variable->size) + " bytes, not " +
                       std::to_string(value.length));
  }
  size_t size = 0;
  void* section = const_cast<void*>(bpf_map__initial_value(map, &size));
  if (section == nullptr || static_cast<uint64_t>(variable->offset) + variable->size > size) {
    Fail(env, operation, EINVAL, "the variable lies outside its section");
  }
  memcpy(static_cast<uint8_t*>(section) + variable->offset, value.data, value.length);
}

void BpfObject::SetPinPath(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = NameArgument(info, 0, "map");
  std::string path = PathArgument(info, 1, "path");
  std::string operation = "set pin path of map " + name;
  CheckNotLoaded(env, operation);
  LibbpfLog log;
  int error = bpf_map__set_pin_path(FindMap(env, operation, name), path.c_str());
  if (error != 0) Fail(env, operation, -error, log.Text());
}

void BpfObject::Load(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  CheckNotLoaded(env, "load object");
  std::string operation = std::string("load object ") + bpf_object__name(object_);
  LibbpfLog log;
  int error = bpf_object__load(object_);
  state_ = error == 0 ? State::kLoaded : State::kFailed;
  if (error != 0) Fail(env, operation, -error, log.Text());
}

Napi::Value BpfObject::Program(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = NameArgument(info, 0, "name");
  std::string operation = "get program " + name;
  CheckLoaded(env, operation);
  struct bpf_program* program = FindProgram(env, operation, name);
  int fd = bpf_program__fd(program);
  if (fd < 0) Fail(env, operation, ENOENT, "the program was not loaded");
  UniqueFd duplicate = UniqueFd::Duplicate(fd);
  if (!duplicate.Valid()) Fail(env, operation, errno);
  return BpfProgram::Make(env, std::move(duplicate), bpf_program__expected_attach_type(program));
}

Napi::Value BpfObject::Map(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = NameArgument(info, 0, "name");
  std::string operation = "get map " + name;
  CheckLoaded(env, operation);
  int fd = bpf_map__fd(FindMap(env, operation, name));
  if (fd < 0) Fail(env, operation, ENOENT, "the map was not created");
  UniqueFd duplicate = UniqueFd::Duplicate(fd);
  if (!duplicate.Valid()) Fail(env, operation, errno);
  return BpfMap::Make(env, std::move(duplicate));
}

Napi::Value BpfObject::MapNames(const Napi::CallbackInfo& info) {
  CheckOpen(info.Env(), "list maps");
  Napi::Array names = Napi::Array::New(info.Env());
  struct bpf_map* map;
  bpf_object__for_each_map(map, object_) names.Set(names.Length(), bpf_map__name(map));
  return names;
}

Napi::Value BpfObject::ProgramNames(const Napi::CallbackInfo& info) {
  CheckOpen(info.Env(), "list programs");
  Napi::Array names = Napi::Array::New(info.Env());
  struct bpf_program* program;
  bpf_object__for_each_program(program, object_) names.Set(names.Length(), bpf_program__name(program));
  return names;
}

Napi::Value BpfObject::Structs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  CheckOpen(env, "list structs");
  Napi::Array structs = Napi::Array::New(env);
  for (const Layout& layout : StructLayouts(Btf(env, "list structs"))) {
    Napi::Array members = Napi::Array::New(env, layout.members.size());
    for (uint32_t i = 0; i < layout.members.size(); i++) {
      Napi::Object member = Napi::Object::New(env);
      member.Set("name", layout.members[i].name);
      member.Set("offset", layout.members[i].offset);
      member.Set("size", layout.members[i].size);
      members.Set(i, member);
    }
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", layout.name);
    entry.Set("size", layout.size);
    entry.Set("members", members);
    structs.Set(structs.Length(), entry);
  }
  return structs;
}

void BpfObject::Close(const Napi::CallbackInfo&) {
  bpf_object__close(object_);
  object_ = nullptr;
}

void BpfObject::CheckOpen(Napi::Env env, const std::string& operation) const {
  if (object_ == nullptr) FailClosed(env, operation);
}

void BpfObject::CheckNotLoaded(Napi::Env env, const std::string& operation) const {
  CheckOpen(env, operation);
  if (state_ != State::kOpen) Fail(env, operation, EBUSY, "the object was loaded before: open it again");
}

void BpfObject::CheckLoaded(Napi::Env env, const std::string& operation) const {
  CheckOpen(env, operation);
  if (state_ != State::kLoaded) Fail(env, operation, EINVAL, "the object is not loaded: call load() first");
}

struct bpf_map* BpfObject::FindMap(Napi::Env env, const std::string& operation, const std::string& name) const {
  struct bpf_map* map = bpf_object__find_map_by_name(object_, name.c_str());
  if (map == nullptr) Fail(env, operation, ENOENT, "the object has no such map");
  return map;
}

struct bpf_program* BpfObject::FindProgram(Napi::Env env, const std::string& operation,
                                           const std::string& name) const {
  struct bpf_program* program = bpf_object__find_program_by_name(object_, name.c_str());
  if (program == nullptr) Fail(env, operation, ENOENT, "the object has no such program");
  return program;
}

const struct btf* BpfObject::Btf(Napi::Env env, const std::string& operation) const {
  const struct btf* btf = bpf_object__btf(object_);
  if (btf == nullptr) Fail(env, operation, ENOENT, "the object has no BTF: compile it with -g");
  return btf;
}

}  // namespace podgate
