using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .rooms),
    (name = "data", disk = (path = "/tmp", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const rooms :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
  durableObjectNamespaces = [
    (className = "Echo", uniqueKey = "echo", enableSql = true),
    (className = "Broadcast", uniqueKey = "broadcast", enableSql = true),
    (className = "Noting", uniqueKey = "noting", enableSql = true),
    (className = "Storing", uniqueKey = "storing", enableSql = true),
    (className = "Sleeper", uniqueKey = "sleeper", enableSql = true),
    (className = "Count", uniqueKey = "count", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "data"),
  bindings = [
    (name = "echo", durableObjectNamespace = "Echo"),
    (name = "broadcast", durableObjectNamespace = "Broadcast"),
    (name = "noting", durableObjectNamespace = "Noting"),
    (name = "storing", durableObjectNamespace = "Storing"),
    (name = "sleeper", durableObjectNamespace = "Sleeper"),
    (name = "count", durableObjectNamespace = "Count"),
  ],
);
