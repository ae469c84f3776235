# The edge without Cloudflare: the same bundle under plain workerd.
#
#   npx wrangler deploy --dry-run --outdir edge-bundle && cp deploy/workerd.capnp edge-bundle/
#   mkdir -p /var/lib/callsheet/objects
#   workerd serve edge-bundle/workerd.capnp --socket-addr http=0.0.0.0:8787 --directory-path objects=/var/lib/callsheet/objects
#
# Settings come from the environment: CONTROL_PLANE_URLS, EDGE_SIGNING_SECRET, CALLSHEET_ENV; ALLOWED_ORIGINS
# may be unset. The objects folder holds
# only what can be rebuilt from the control plane. The date and flags are those of wrangler.toml (a test compares them).

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "objects", disk = (path = "objects", writable = true)),
    # The control plane is usually on a private network.
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-08-01",
  durableObjectNamespaces = [(className = "AccountSession", uniqueKey = "account-session", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [
    (name = "ACCOUNT_SESSION", durableObjectNamespace = "AccountSession"),
    (name = "CONTROL_PLANE_URLS", fromEnvironment = "CONTROL_PLANE_URLS"),
    (name = "EDGE_SIGNING_SECRET", fromEnvironment = "EDGE_SIGNING_SECRET"),
    (name = "CALLSHEET_ENV", fromEnvironment = "CALLSHEET_ENV"),
    (name = "ALLOWED_ORIGINS", fromEnvironment = "ALLOWED_ORIGINS"),
  ],
);
