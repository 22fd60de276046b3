{
  "targets": [
    {
      "target_name": "podgate",
      "sources": [
        "native/accept_loop.cc",
        "native/acceptor.cc",
        "native/addon.cc",
        "native/arguments.cc",
        "native/channel.cc",
        "native/channel_listener.cc",
                "native/claims.cc",
        "native/connecting.cc",
        "native/descriptors.cc",
        "native/diag_socket.cc",
        "native/error.cc",
        "native/events.cc",
        "native/flow.cc",
        "native/handle.cc",
        "native/host.cc",
        "native/layout.cc",
        "native/link.cc",
        "native/loop_handle.cc",
        "native/map.cc",
        "native/map_batch.cc",
        "native/netns.cc",
        "native/netns_connection.cc",
        "native/netns_thread.cc",
        "native/object.cc",
        "native/pin.cc",
        "native/pipe.cc",
        "native/poller.cc",
        "native/program.cc",
        "native/pump.cc",
        "native/pump_thread.cc",
        "native/seqpacket.cc",
        "native/sock_diag.cc",
        "native/sockets.cc",
        "native/tcp_sequence.cc",
        "native/timer.cc"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": [
        "-std=c++17",
        "-fexceptions",
        "-fvisibility=hidden",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-isystem ../node_modules/node-addon-api"
      ],
      "libraries": ["-lbpf", "-lelf"]
    }
  ]
}
