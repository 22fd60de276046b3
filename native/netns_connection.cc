#include "netns_connection.h"

#include "arguments.h"
#include "error.h"

namespace podgate {
namespace {

Napi::Object EndToObject(Napi::Env env, const uint8_t* address, uint16_t port) {
  Napi::Object end = Napi::Object::New(env);
  end.Set("address", Napi::Buffer<uint8_t>::Copy(env, address, kAddressLength));
  end.Set("port", Napi::Number::New(env, port));
  return end;
}

Napi::Object ObjectOf(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) FailType(value.Env(), name + " must be an object");
  return value.As<Napi::Object>();
}

void EndFromObject(const Napi::Value& value, const std::string& name, uint8_t* address, uint16_t* port) {
  Napi::Object end = ObjectOf(value, name);
  *port = static_cast<uint16_t>(IntegerOf(end.Get("port"), (name + ".port").c_str(), 0, 65535));
  Bytes bytes = BytesOf(end.Get("address"), (name + ".address").c_str());
  if (bytes.length != kAddressLength) FailRange(value.Env(), name + ".address must have 16 bytes");
  memcpy(address, bytes.data, kAddressLength);
}

uint64_t CookieOf(const Napi::Value& value) {
  if (!value.IsBigInt()) FailType(value.Env(), "cookie must be a bigint");
  bool lossless = false;
  uint64_t cookie = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless || cookie == kNoCookie) FailRange(value.Env(), "cookie must be one that names a socket");
  return cookie;
}

}  // namespace

Napi::Object ConnectionToObject(Napi::Env env, const TcpConnection& connection) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", Napi::Number::New(env, connection.family == AF_INET ? 4 : 6));
  object.Set("state", Napi::Number::New(env, connection.state));
  object.Set("local", EndToObject(env, connection.local, connection.local_port));
  object.Set("remote", EndToObject(env, connection.remote, connection.remote_port));
  object.Set("interfaceIndex", Napi::Number::New(env, connection.interface));
  object.Set("cookie", Napi::BigInt::New(env, connection.cookie));
  object.Set("inode", Napi::BigInt::New(env, static_cast<uint64_t>(connection.inode)));
  object.Set("uid", Napi::Number::New(env, connection.uid));
  object.Set("beyondPayload", Napi::Number::New(env, static_cast<double>(connection.beyond_payload)));
  object.Set("onEventLoop", Napi::Boolean::New(env, connection.on_event_loop));
  return object;
}

TcpConnection ConnectionFromObject(const Napi::Value& value) {
  Napi::Object object = ObjectOf(value, "connection");
  TcpConnection connection;
  connection.family = FamilyOf(object.Get("family"));
  EndFromObject(object.Get("local"), "local", connection.local, &connection.local_port);
  EndFromObject(object.Get("remote"), "remote", connection.remote, &connection.remote_port);
  connection.interface = IntegerOf(object.Get("interfaceIndex"), "interfaceIndex", 0, 0x7fffffff);
  connection.cookie = CookieOf(object.Get("cookie"));
  if (connection.family == AF_INET && !(IsMapped(connection.local) && IsMapped(connection.remote))) {
    FailRange(value.Env(), "addresses of family 4 must be v4-mapped");
  }
  return connection;
}

ConnectionFilter FilterFromObject(const Napi::Value& value) {
  ConnectionFilter filter;
  if (value.IsUndefined()) return filter;
  Napi::Object object = ObjectOf(value, "filter");
  Napi::Value listeners = object.Get("listeners");
  if (!listeners.IsUndefined()) {
    if (!listeners.IsBoolean()) FailType(value.Env(), "listeners must be a boolean");
    filter.with_listeners = listeners.As<Napi::Boolean>().Value();
  }
  Napi::Value remote = object.Get("remote");
  if (!remote.IsUndefined()) {
    Bytes bytes = BytesOf(remote, "remote");
    if (!Sieve::IsLength(bytes.length)) FailRange(value.Env(), "remote must be a sieve: 4 bytes, then 2^3 to 2^15");
    filter.remote = Sieve(bytes.data, bytes.length);
  }
  return filter;
}

int FamilyOf(const Napi::Value& value) {
  if (!value.IsNumber()) FailType(value.Env(), "family must be 4 or 6");
  double number = value.As<Napi::Number>().DoubleValue();
  if (number == 4) return AF_INET;
  if (number != 6) FailRange(value.Env(), "family must be 4 or 6");
  return AF_INET6;
}

}  // namespace podgate
