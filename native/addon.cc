// Registers the classes and functions. Moves bytes and file descriptors only: no policy, no retries.
#include "addon.h"

#include "error.h"
#include "events.h"
#include "handle.h"
#include "host.h"
#include "link.h"
#include "map.h"
#include "object.h"
#include "program.h"
#include "pump.h"
#include "sockets.h"

namespace podgate {
namespace {

Napi::Object Register(Napi::Env env, Napi::Object exports) {
  CaptureLibbpfOutput();
  Addon* addon = new Addon();
  env.SetInstanceData(addon);
  addon->program = Napi::Persistent(BpfProgram::Define(env));
  addon->link = Napi::Persistent(BpfLink::Define(env));
  addon->map = Napi::Persistent(BpfMap::Define(env));
  addon->handle = Napi::Persistent(Handle::Define(env));
  exports.Set("BpfObject", BpfObject::Define(env));
  exports.Set("BpfProgram", addon->program.Value());
  exports.Set("BpfLink", addon->link.Value());
  exports.Set("BpfMap", addon->map.Value());
  exports.Set("EventReader", EventReader::Define(env));
  exports.Set("Pump", Pump::Define(env));
  RegisterHostFunctions(env, exports);
  RegisterSockets(env, exports);
  return exports;
}

}  // namespace
}  // namespace podgate

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return podgate::Register(env, exports); }
NODE_API_MODULE(podgate, Init)
