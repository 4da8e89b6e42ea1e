//! Precedence, defaults and what is refused.

use std::fs;

use super::*;

fn load(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let arguments = std::iter::once("signal-srv").chain(arguments.iter().copied());
    let flags = Flags::try_parse_from(arguments).unwrap();
    Config::load(&flags, environment.iter().map(|(name, value)| (name.into(), value.into())))
}

fn file(content: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signal-srv.toml");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn defaults() {
    let config = load(&[], &[("HOME", "/home/someone")]).unwrap();
    assert_eq!(config.listen, "0.0.0.0:8192".parse().unwrap());
    assert_eq!(config.tls, Tls::SelfSigned { state_dir: "/home/someone/.local/state/signal-srv".into() });
    assert_eq!((config.max_viewers, config.log.as_str(), config.behind_proxy), (16, "info", false));
    assert!(config.ice_servers.is_empty());
}

#[test]
fn state_directory() {
    let state_dir = |environment: &[(&str, &str)]| match load(&[], environment).unwrap().tls {
        Tls::SelfSigned { state_dir } => state_dir,
        other => panic!("{other:?}"),
    };
    let home = ("HOME", "/h");
    let xdg = ("XDG_STATE_HOME", "/x");
    assert_eq!(state_dir(&[home, xdg]), Path::new("/x/signal-srv"));
    assert_eq!(state_dir(&[home, xdg, ("STATE_DIRECTORY", "/s:/t")]), Path::new("/s"));
    assert!(matches!(load(&[], &[]), Err(ConfigError::NoStateDir)));
    assert!(load(&["--state-dir", "/d"], &[]).is_ok());
}

#[test]
fn flags_before_environment_before_file() {
    let (_dir, path) = file("listen = \"127.0.0.1:1\"\ntls = \"off\"\nmax_viewers = 3\nlog = \"error\"\n");
    let environment = [("SIGNAL_SRV_LISTEN", "127.0.0.1:2"), ("SIGNAL_SRV_LOG", "warn")];
    let config = load(&["--config", &path, "--listen", "127.0.0.1:3"], &environment).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.log, "warn");
    assert_eq!(config.max_viewers, 3);
    let config = load(&["--config", &path], &environment).unwrap();
    assert_eq!(config.listen.port(), 2);
    let config = load(&[], &[("SIGNAL_SRV_CONFIG", path.as_str())]).unwrap();
    assert_eq!(config.listen.port(), 1);
}

#[test]
fn every_key_can_come_from_the_environment() {
    let config = load(
        &[],
        &[
            ("SIGNAL_SRV_LISTEN", "[::]:5"),
            ("SIGNAL_SRV_TLS", "off"),
            ("SIGNAL_SRV_BEHIND_PROXY", "true"),
            ("SIGNAL_SRV_MAX_VIEWERS", "4"),
            ("SIGNAL_SRV_LOG", "debug"),
            ("SIGNAL_SRV_CLUSTER", "rediss://cache"),
            ("SIGNAL_SRV_CLUSTER_CA", "/ca.pem"),
            ("SIGNAL_SRV_ICE_SERVERS", "[{ urls = [\"stun:stun.example.org\"] }]"),
        ],
    )
    .unwrap();
    assert_eq!((config.listen, config.tls), ("[::]:5".parse().unwrap(), Tls::Off));
    let cluster = Cluster { address: "rediss://cache".parse().unwrap(), authority: Some("/ca.pem".into()) };
    assert_eq!(config.cluster, Some(cluster));
    assert_eq!((config.behind_proxy, config.max_viewers, config.ice_servers.len()), (true, 4, 1));

    let error = load(&[], &[("SIGNAL_SRV_MAX_VIEWERS", "many")]).unwrap_err().to_string();
    assert!(error.contains("SIGNAL_SRV_MAX_VIEWERS"), "{error}");
    let error = load(&[], &[("SIGNAL_SRV_TLS", "maybe")]).unwrap_err().to_string();
    assert!(error.contains("SIGNAL_SRV_TLS") && error.contains("self-signed"), "{error}");
}

#[test]
fn plain_text_on_loopback_or_behind_a_proxy_alone() {
    assert!(load(&["--tls", "off", "--listen", "127.0.0.1:0"], &[]).is_ok());
    assert!(load(&["--tls", "off", "--listen", "[::1]:0"], &[]).is_ok());
    assert!(load(&["--tls", "off", "--behind-proxy"], &[]).is_ok());
    let error = load(&["--tls", "off"], &[]).unwrap_err();
    assert!(matches!(error, ConfigError::PlainText(_)));
    assert!(error.to_string().contains("--behind-proxy"));
}

#[test]
fn files_and_mode_belong_together() {
    assert!(matches!(load(&["--tls", "files", "--key", "k"], &[]), Err(ConfigError::FileMissing("--cert"))));
    assert!(matches!(load(&["--tls", "files", "--cert", "c"], &[]), Err(ConfigError::FileMissing("--key"))));
    assert!(matches!(load(&["--cert", "c", "--key", "k"], &[]), Err(ConfigError::FilesUnused)));
    let config = load(&["--tls", "files", "--cert", "c", "--key", "k"], &[]).unwrap();
    assert_eq!(config.tls, Tls::Files { cert: "c".into(), key: "k".into() });
}

#[test]
fn an_order_and_its_mode_belong_together() {
    let home = [("HOME", "/h")];
    let acme = |config: Config| match config.tls {
        Tls::Acme(acme) => acme,
        other => panic!("{other:?}"),
    };
    let arguments =
        ["--tls", "acme", "--domain", "Cam.example.org", "--domain", "b.example.org", "--domain", "b.example.org"];
    let ordered = acme(load(&arguments, &home).unwrap());
    assert_eq!(ordered.domains, ["cam.example.org", "b.example.org"]);
    assert!(ordered.directory.starts_with("https://acme-v02.api.letsencrypt.org/"));
    assert_eq!((ordered.contact, ordered.ca), (None, None));
    assert_eq!(ordered.state_dir, Path::new("/h/.local/state/signal-srv"));

    let environment = [
        ("SIGNAL_SRV_TLS", "acme"),
        ("SIGNAL_SRV_DOMAINS", "[\"cam.example.org\"]"),
        ("SIGNAL_SRV_ACME_CONTACT", "ops@example.org"),
        ("SIGNAL_SRV_ACME_DIRECTORY", "https://ca.example.org:14000/dir"),
        ("SIGNAL_SRV_ACME_CA", "/ca.pem"),
        ("SIGNAL_SRV_STATE_DIR", "/s"),
        ("SIGNAL_SRV_REDIRECT", "[::]:80"),
    ];
    let config = load(&[], &environment).unwrap();
    assert_eq!(config.redirect, Some("[::]:80".parse().unwrap()));
    let printed = config.to_toml();
    let (_dir, path) = file(&printed);
    let again = load(&["--config", &path], &[]).unwrap();
    assert_eq!((again.to_toml(), again.redirect), (printed, config.redirect));
    assert_eq!(acme(again), acme(config));

    let error = |arguments: &[&str]| load(arguments, &home).unwrap_err().to_string();
    assert!(error(&["--tls", "acme"]).contains("--domain"));
    assert!(error(&["--domain", "cam.example.org"]).contains("--tls acme"));
    assert!(error(&["--acme-contact", "ops@example.org"]).contains("--tls acme"));
    let many: Vec<String> = (0..101).map(|number| format!("--domain=cam{number}.example.org")).collect();
    let many: Vec<&str> = ["--tls", "acme"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert!(error(&many).contains("100 domains at most, and there are 101"), "{}", error(&many));
    assert!(error(&["--tls", "off", "--listen", "127.0.0.1:0", "--redirect", "127.0.0.1:1"]).contains("--redirect"));
}

#[test]
fn what_cannot_be_ordered_is_named() {
    let parse = |arguments: &[&str]| {
        let arguments = ["signal-srv", "--tls", "acme"].iter().chain(arguments);
        Flags::try_parse_from(arguments).unwrap_err().to_string()
    };
    for (domain, says) in [
        ("*.example.org", "wildcard"),
        ("192.0.2.1", "address"),
        ("::1", "address"),
        ("kamera.exämple.org", "xn--"),
        ("cam.example.org.", "not a name"),
        ("cam example.org", "not a name"),
        ("https://cam.example.org", "not a name"),
        ("", "not a name"),
    ] {
        let error = parse(&[&format!("--domain={domain}")]);
        assert!(error.contains("--domain") && error.contains(says), "{domain}: {error}");
    }
    for contact in ["ops", "mailto:ops@example.org", "a@b.example.org,c@d.example.org", "ops @example.org"] {
        let error = parse(&[&format!("--acme-contact={contact}")]);
        assert!(error.contains("--acme-contact") && error.contains("mail address"), "{error}");
    }
    for directory in ["http://ca.example.org/dir", "ca.example.org", "https://u:p@ca.example.org/dir", ""] {
        let error = parse(&[&format!("--acme-directory={directory}")]);
        assert!(error.contains("--acme-directory") && error.contains("https://"), "{error}");
    }
    let (_dir, path) = file("tls = \"acme\"\ndomains = [\"cam.example.org\", \"*.example.org\"]\n");
    let error = load(&["--config", &path], &[("HOME", "/h")]).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("wildcard"), "{error}");
}

#[test]
fn ranges_and_ice_servers_are_checked() {
    let reason = |content: &str| {
        let (_dir, path) = file(&format!("tls = \"off\"\nlisten = \"127.0.0.1:0\"\n{content}\n"));
        load(&["--config", &path], &[]).unwrap_err().to_string()
    };
    let wrong = |content: &str, line: &str, what: &str| {
        let reason = reason(content);
        assert!(reason.contains("signal-srv.toml") && reason.contains(line) && reason.contains(what), "{reason}");
    };
    wrong("max_viewers = 0", "line 3", "max_viewers can be 1 to");
    wrong("max_viewers = \"many\"", "line 3", "max_viewers");
    wrong("[[ice_servers]]\nurls = []", "line 3", "urls is empty");
    wrong("[[ice_servers]]\nurls = [\"https://example.org\"]", "line 3", "stun:");
    wrong("[[ice_servers]]\nurls = [\"turn:example.org\"]", "line 3", "credential");
    for url in
        ["stun:", "stun:[::1", "stun:a:99999", "stun:a:0", "stun:a b", "stun:a:", "stun:u@a", "stun://a", "stun:[a]"]
    {
        wrong(&format!("[[ice_servers]]\nurls = [\"{url}\"]"), "line 3", "is written like stun:host");
    }
    for url in ["stun:a?transport=udp", "turn:a?transport=foo", "turn:a?x"] {
        wrong(&format!("[[ice_servers]]\nurls = [\"{url}\"]"), "line 3", "?transport=udp");
    }
    for url in ["stun:a", "stuns:a.example.org:5349", "stun:[2001:db8::1]", "stun:[::1]:3478", "stun:192.0.2.1:1"] {
        let (_dir, path) =
            file(&format!("tls = \"off\"\nlisten = \"127.0.0.1:0\"\n[[ice_servers]]\nurls = [\"{url}\"]\n"));
        assert!(load(&["--config", &path], &[]).is_ok(), "{url}");
    }
    wrong("[[ice_servers]]\nurls = [\"stun:a\"]\nurl = \"b\"", "line 5", "unknown field `url`");
    wrong("\nviewers = 3", "line 4", "unknown field `viewers`");
}

#[test]
fn what_is_printed_reads_back_but_for_credentials() {
    let content = "listen = \"127.0.0.1:0\"\ntls = \"off\"\n[[ice_servers]]\nurls = [\"turn:t.example.org\"]\n\
                   username = \"name\"\ncredential = \"secret\"\n";
    let (_dir, path) = file(content);
    let printed = load(&["--config", &path], &[]).unwrap().to_toml();
    assert!(!printed.contains("secret") && printed.contains("redacted"), "{printed}");
    let (_dir, path) = file(&printed);
    assert_eq!(load(&["--config", &path], &[]).unwrap().to_toml(), printed);
}

#[test]
fn limits_come_key_by_key() {
    let (_dir, path) = file("tls = \"off\"\nlisten = \"127.0.0.1:1\"\n[limits]\nconnections = 5\njoin_s = 0.5\n");
    let environment = [("SIGNAL_SRV_LIMITS_CONNECTIONS", "7"), ("SIGNAL_SRV_LIMITS_PING_S", "30")];
    let limits = load(&["--config", &path], &environment).unwrap().limits;
    let expected = Limits {
        connections: 7,
        join: std::time::Duration::from_millis(500),
        ping: std::time::Duration::from_secs(30),
        ..Limits::default()
    };
    assert_eq!(limits, expected);
    let printed = load(&["--config", &path], &environment).unwrap().to_toml();
    let (_dir, path) = file(&printed);
    assert_eq!(load(&["--config", &path], &[]).unwrap().limits, expected, "{printed}");
}

#[test]
fn a_wrong_limit_is_named_with_its_line() {
    for (line, says) in [
        ("connections = 0", "connections = 0"),
        ("messages_per_second = 5000000000", "5000000000"),
        ("join_s = 0", "join_s = 0"),
        ("ping_s = 1e-12", "ping_s = 1e-12"),
        ("ping_s = 1e9", "ping_s"),
        ("conections = 5", "conections"),
    ] {
        let (_dir, path) = file(&format!("max_viewers = 4\n[limits]\n{line}\n"));
        let error = load(&["--config", &path], &[]).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains(says), "{error}");
    }
    let error = load(&[], &[("HOME", "/h"), ("SIGNAL_SRV_LIMITS_JOIN_S", "soon")]).unwrap_err().to_string();
    assert!(error.contains("SIGNAL_SRV_LIMITS_JOIN_S"), "{error}");
}

#[test]
fn proxies_and_origins() {
    let here = "127.0.0.1".parse().unwrap();
    let behind = |more: &str| {
        let (_dir, path) = file(&format!("tls = \"off\"\nbehind_proxy = true\n{more}"));
        load(&["--config", &path], &[])
    };
    assert!(behind("").unwrap().trusted_proxies.trust(here));
    let elsewhere = behind("trusted_proxies = [\"10.0.0.0/8\"]\n").unwrap().trusted_proxies;
    assert!(!elsewhere.trust(here) && elsewhere.trust("10.9.8.7".parse().unwrap()));
    assert!(!load(&[], &[("HOME", "/h")]).unwrap().trusted_proxies.trust(here));
    let error = behind("trusted_proxies = [\"proxy.example.org\"]\n").unwrap_err().to_string();
    assert!(error.contains("proxy.example.org") && error.contains("line 3"), "{error}");
    let error = behind("origins = [\"view.example.org\"]\n").unwrap_err().to_string();
    assert!(error.contains("https://view.example.org") && error.contains("line 3"), "{error}");
    let environment = [("HOME", "/h"), ("SIGNAL_SRV_ORIGINS", "[\"*\"]")];
    assert_eq!(Vec::from(load(&[], &environment).unwrap().origins), ["*"]);
}
