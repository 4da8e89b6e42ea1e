//! The real program turns what is on a boot partition into what the programs read, with folders in the place of
//! partitions; with partitions too, where somebody is root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod device;
mod partitions;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use camera_fw::code;

use device::{Device, ERRORS, LABEL, PAGE, PROGRAM, SERVER, files, mode, provisioning_file, said};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDIhz2GK/XCUj4i6Q5yQJNL1MKMY0RxzPV2QrBqfHrDq me@home\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUEkLiuVg72Lpgm5Q0vfOZeBNq33cwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPY2FtLmV4YW1wbGUub3JnMCAXDTI2MTEyMTE5MzA1MloYDzIx
MjYxMDI4MTkzMDUyWjAaMRgwFgYDVQQDDA9jYW0uZXhhbXBsZS5vcmcwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAASZCuC3lT9c7sYVyj7sU62GTKioxOC/DVXMGF7C
EpWywNYCHNV5Or3OLknI9c7Bn7Hxkj/mX2udAqTKteZNd7obo1MwUTAdBgNVHQ4E
FgQUJ3Spr486iM0dtalPHHTQX9TDOqcwHwYDVR0jBBgwFoAUJ3Spr486iM0dtalP
HHTQX9TDOqcwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAme5x
LjWTZGvD0w4VLdX6DVj+t3LjFE6eeOHDFq2mjPECIEPr7TSrf7X+48RrpAWt+xAR
lHdcxG9LSJK4mg/SUr7r
-----END CERTIFICATE-----
";

#[test]
fn without_a_file_it_has_an_identity_a_label_and_the_defaults() {
    let device = Device::new("");
    fs::remove_file(device.path("boot/roomcam.toml")).unwrap();
    let start = device.start();
    assert_eq!(device.state(), device.path("data/camera"));
    assert_eq!((mode(&device.state()), mode(&device.state().join("identity"))), (0o700, 0o600));
    assert_eq!(mode(&device.path("run/camera.toml")), 0o640);
    let link = code::link(device.identity().code(), "https://localhost:8192/");
    assert!(device.read(&format!("boot/{LABEL}")).contains(&link));
    assert!(start.screen.contains(&link) && start.screen.contains('▀'), "{}", start.screen);
    assert!(start.errors.contains("no server is set") && start.errors.contains("\r\n"), "{}", start.errors);
    for absent in ["run/iwd.conf", "run/ssh", "run/ca.pem"] {
        assert!(!device.path(absent).exists(), "{absent}");
    }
    assert_eq!(device.read("root/dev/urandom").len(), 64, "the hardware's random numbers came first");
    if nix::unistd::geteuid().is_root() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        for path in [device.state(), device.state().join("identity")] {
            assert_eq!(fs::metadata(path).unwrap().uid(), nobody.uid.as_raw());
        }
        let metadata = fs::metadata(device.path("run/camera.toml")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, nobody.gid.as_raw()));
    }
    device.settings(SERVER);
    let start = device.start();
    assert_eq!((start.errors.as_str(), device.path("boot").join(ERRORS).exists()), ("", false), "it is right now");
    assert!(device.read(&format!("boot/{LABEL}")).contains(&device.link()), "another page, another label");
}

#[test]
fn what_a_person_sets_reaches_every_program() {
    let device = Device::new(&format!(
        "{SERVER}name = \"Küche\"\nca = \"my server.pem\"\nwifi_ssid = \"Café 🏠\"\nwifi_passphrase = ' pass\\word '\n\
         wifi_country = \"de\"\nwifi_hidden = true\nfps = 25\npaused = true\n[controls]\nbrightness = 40\n"
    ));
    fs::write(device.path("boot/my server.pem"), CERTIFICATE).unwrap();
    fs::write(device.path("boot/authorized_keys"), KEY).unwrap();
    let start = device.start();
    assert_eq!(start.errors, "");
    let agent = device.agent();
    for line in
        ["server = \"wss://cam.example.org:8192\"", "name = \"Küche\"", "fps = 25", "paused = true", "brightness = 40"]
    {
        assert!(agent.contains(line), "{line}: {agent}");
    }
    assert!(agent.contains(&format!("ca = {:?}", device.path("run/ca.pem").to_str().unwrap())), "{agent}");
    assert_eq!(device.read("run/ca.pem"), CERTIFICATE);
    let network = device.path("run/iwd/=436166c3a920f09f8fa0.psk");
    assert_eq!(
        fs::read_to_string(&network).unwrap(),
        "[Security]\nPassphrase=\\spass\\\\word\\s\n[Settings]\nHidden=true\n"
    );
    assert_eq!((mode(&network), mode(&device.path("run/iwd"))), (0o600, 0o700));
    assert_eq!(device.read("run/iwd.conf"), "[General]\nCountry=DE\n");
    assert_eq!((device.read("run/ssh/authorized_keys").as_str(), mode(&device.path("run/ssh"))), (KEY, 0o700));
    assert!(start.screen.contains("Küche"));

    // Taken back, it is gone.
    device.settings(SERVER);
    fs::remove_file(device.path("boot/authorized_keys")).unwrap();
    device.start();
    assert!(files(&device.path("run/iwd")).is_empty() && !device.path("run/iwd.conf").exists());
    assert!(!device.path("run/ssh").exists());
}

#[test]
fn what_is_wrong_costs_itself_and_is_said_with_place_and_remedy() {
    let cases: [(&[u8], &[&str]); 16] = [
        (b"fps = 1000", &["line 2: fps = 1000", "use 1 to 120"]),
        (b"fsp = 30", &["line 2: fsp", "do you mean fps?"]),
        (b"fps = many", &["line 2: fps takes a whole number"]),
        (b"name = \"x", &["line 2: name has no quote at its end"]),
        (b"name = ]]", &[]),
        (b"[server]", &["line 2", "[controls]"]),
        (b"hello there", &["line 2", "key = value"]),
        (b"server = \"wss://other\"", &["line 2: server is set in line 1 already"]),
        (b"wifi_ssid = \"home\"\nwifi_passphrase = \"short\"", &["line 3: wifi_passphrase has 5 letters", "8 to 63"]),
        (b"wifi_passphrase = \"long enough\"", &["line 2", "wifi_ssid"]),
        (b"ca = \"nothing.pem\"", &["line 2: ca = \"nothing.pem\" cannot be read"]),
        (b"led = \"/sys/class/leds/none\"", &["line 2: led", "there are: none"]),
        (b"source = \"/film.y4m\"", &["line 2: source", "is not there"]),
        (b"privacy_switch = \"gpiochip7:1\"", &["line 2: privacy_switch", "there are: gpiochip0", "does not start"]),
        (b"privacy_switch = 17", &["line 2: privacy_switch", "begins paused"]),
        (b"name = \"K\xfcche\"", &["UTF-8"]),
    ];
    for (bad, expected) in cases {
        let device = Device::new("");
        let settings = [SERVER.as_bytes(), bad, b"\nheight = 240\n[controls]\nhue = 3\n"].concat();
        fs::write(device.path("boot/roomcam.toml"), settings).unwrap();
        let start = device.start();
        let bad = String::from_utf8_lossy(bad);
        for text in [&start.errors, &start.screen, &start.log] {
            assert!(expected.iter().all(|part| text.contains(part)), "{bad}: {text}");
        }
        let agent = device.agent();
        for kept in ["server = \"wss://cam.example.org:8192\"", "height = 240", "hue = 3"] {
            assert!(agent.contains(kept), "{bad}: {agent}");
        }
        assert!(!start.log.contains("short") && !start.log.contains("long enough"), "{}", start.log);
    }
}

#[test]
fn a_certificate_that_is_none_and_keys_that_are_none_are_said() {
    let device = Device::new(&format!("{SERVER}ca = \"server.pem\"\n"));
    fs::write(device.path("boot/server.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    fs::write(device.path("boot/authorized_keys"), "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n").unwrap();
    let errors = device.start().errors;
    assert!(
        errors.contains("line 2: ca = \"server.pem\" cannot be used") && errors.contains("private key"),
        "{errors}"
    );
    assert!(!device.agent().contains("ca =") && !device.path("run/ssh").exists());
}

#[test]
fn files_of_any_editor_are_read_and_rubbish_stops_nothing() {
    let text = "server = “wss://cam.example.org”\r\nfps = 12\r\n";
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [text.as_bytes().to_vec(), [b"\xef\xbb\xbf", text.as_bytes()].concat(), utf16] {
        let device = Device::new("");
        fs::rename(device.path("boot/roomcam.toml"), device.path("boot/roomcam.toml.txt")).unwrap();
        fs::write(device.path("boot/roomcam.toml.txt"), bytes).unwrap();
        assert_eq!(device.start().errors, "");
        assert!(device.agent().contains("fps = 12"));
    }
    // Files as a card that dies makes them, and people.
    let device = Device::new("");
    let good = "server = \"wss://cam.example.org\"\nwifi_ssid = \"home\"\nwifi_passphrase = \"correct horse\"\nfps = 25\n[controls]\nhue = 1\n";
    let mut state = 1_u32;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % limit
    };
    for _ in 0..60 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes.insert(at, b"\"'=[]#\n\\\0{"[random(10)]),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at + 1),
            }
        }
        fs::write(device.path("boot/roomcam.toml"), &bytes).unwrap();
        let output = device.command("prepare").output().unwrap();
        assert!(output.status.success(), "{}: {}", bytes.escape_ascii(), said(&output));
        device.agent();
    }
}

#[test]
fn everything_in_the_template_can_be_set() {
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../image/boot/roomcam.toml")).unwrap();
    let device = Device::new(&template);
    assert!(device.start().errors.contains("no server is set"));
    let is_setting = |line: &&str| {
        let key = line.strip_prefix("# ").unwrap_or_default();
        key.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
            || key == "[controls]"
    };
    let lines: Vec<&str> = template.lines().filter(is_setting).collect();
    assert!(lines.len() > 20, "{lines:?}");
    device.settings(
        &template.lines().map(|line| if is_setting(&line) { &line[2..] } else { line }).collect::<Vec<_>>().join("\n"),
    );
    fs::write(device.path("boot/server.pem"), CERTIFICATE).unwrap();
    assert_eq!(device.start().errors, "");
    let agent = device.agent();
    assert!(agent.contains("name = \"Living room\"") && agent.contains("hflip = true"), "{agent}");
}

#[test]
fn a_provisioned_identity_is_taken_and_its_file_erased() {
    for name in ["identity", "identity.txt"] {
        let (file, identity) = provisioning_file();
        let device = Device::new(SERVER);
        let path = device.path("boot").join(name);
        // Mail and editors of Windows do this.
        fs::write(&path, format!("\u{feff}{}", file.replace('\n', "\r\n"))).unwrap();
        let witness = device.path("witness");
        fs::hard_link(&path, &witness).unwrap();
        assert_eq!(device.start().errors, "");
        assert_eq!(device.identity(), identity);
        assert!(
            !path.exists() && fs::read(&witness).unwrap().iter().all(|byte| *byte == 0),
            "overwritten, then removed"
        );
        device.start();
        assert_eq!(device.identity(), identity);

        // A second one: the card was made for another label.
        let (file, other) = provisioning_file();
        fs::write(&path, file).unwrap();
        device.start();
        assert!(device.identity() == other && !path.exists());
        assert!(device.read(&format!("boot/{LABEL}")).contains(&device.link()), "the label follows");
    }
}

#[test]
fn a_provisioning_file_that_cannot_be_taken_stays_and_is_said() {
    let (file, _) = provisioning_file();
    let (second, _) = provisioning_file();
    let digits =
        file.lines().find_map(|line| line.strip_prefix("private_key = ")).unwrap().trim_matches('"').to_owned();
    let cases: [(&[(&str, String)], &str); 4] = [
        (&[("identity", file[..file.len() - 40].to_owned())], "identity is damaged"),
        (&[("identity", file.replace("version = 1", "version = 9"))], "version 9"),
        (&[("identity", String::new())], "copy it to the card again"),
        (&[("identity", file.clone()), ("identity.txt", second)], "two identities"),
    ];
    for (offered, expected) in cases {
        let device = Device::new(SERVER);
        device.start();
        let before = device.identity();
        for (name, content) in offered {
            fs::write(device.path("boot").join(name), content).unwrap();
        }
        let start = device.start();
        assert!(start.errors.contains(expected), "{}", start.errors);
        assert_eq!(device.identity(), before, "it stays who it was");
        assert!(offered.iter().all(|(name, _)| device.path("boot").join(name).exists()));
        for text in [&start.log, &start.errors, &start.screen] {
            assert!(!text.contains(&digits), "{text}");
        }
    }
}

#[test]
fn a_reset_leaves_nothing_of_who_it_was() {
    for name in ["roomcam-reset", "roomcam-reset.txt"] {
        let device = Device::new(SERVER);
        device.start();
        let (old, link) = (device.read("data/camera/identity"), device.link());
        fs::create_dir(device.path("data/ssh")).unwrap();
        fs::create_dir(device.path("data/timesync")).unwrap();
        for file in ["data/ssh/host", "data/camera/.identity.7", "data/camera/paused", "data/timesync/clock"] {
            fs::write(device.path(file), &old).unwrap();
        }
        fs::write(device.path("data/timesync/clock"), "").unwrap();
        let witness = device.path("witness");
        fs::hard_link(device.path("data/camera/identity"), &witness).unwrap();
        fs::write(device.path("boot").join(name), "").unwrap();

        assert_eq!(device.start().errors, "");
        assert!(!device.path("boot").join(name).exists() && device.path("data/timesync/clock").exists());
        assert_ne!(device.link(), link);
        let digits = old.lines().find_map(|line| line.strip_prefix("private_key = ")).unwrap().trim_matches('"');
        let secret = link.rsplit('#').next().unwrap();
        for path in files(device.dir.path()) {
            let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!content.contains(digits) && !content.contains(secret), "{}", path.display());
        }
        assert!(fs::read(witness).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(files(&device.path("data/camera")).len(), 1);
        // Once.
        let link = device.link();
        device.start();
        assert_eq!(device.link(), link);
    }
}

#[test]
fn a_damaged_identity_is_not_replaced_but_the_camera_streams() {
    let device = Device::new(SERVER);
    device.start();
    let label = device.read(&format!("boot/{LABEL}"));
    let path = device.path("data/camera/identity");
    fs::write(&path, "version = 1\n").unwrap();
    let start = device.start();
    assert!(start.errors.contains("is damaged") && start.errors.contains("roomcam-reset"), "{}", start.errors);
    assert_eq!(
        (device.state(), fs::read_to_string(&path).unwrap().as_str()),
        (device.path("run/state"), "version = 1\n")
    );
    assert!(start.screen.contains(&device.link()));
    assert_eq!(device.read(&format!("boot/{LABEL}")), label, "a code that passes is not printed");

    let (file, identity) = provisioning_file();
    fs::write(device.path("boot/identity"), file).unwrap();
    assert_eq!(device.start().errors, "");
    assert_eq!((device.state(), device.identity()), (device.path("data/camera"), identity));
}

#[test]
fn what_a_power_cut_left_behind_goes() {
    let device = Device::new(SERVER);
    device.start();
    let identity = device.identity();
    fs::write(device.path("data/camera/.identity.123"), "half a secret").unwrap();
    fs::write(device.path("boot/roomcam-label.tmp"), "half a label").unwrap();
    let svg = device.read(&format!("boot/{LABEL}"));
    fs::write(device.path("boot").join(LABEL), &svg[..svg.len() / 2]).unwrap();
    assert_eq!(device.start().errors, "");
    assert_eq!(device.identity(), identity);
    assert_eq!(device.read(&format!("boot/{LABEL}")), svg);
    let names: Vec<_> = device.kept().into_keys().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, [LABEL, "roomcam.toml", "identity"]);
}

#[test]
fn a_start_like_the_last_one_writes_nothing() {
    let device = Device::new(&format!("{SERVER}fps = 1000\nname = \"Küche 🐕\"\n"));
    device.start();
    let before = device.kept();
    assert_eq!(before.len(), 4);
    for _ in 0..3 {
        device.start();
        assert_eq!(device.kept(), before);
    }
}

#[test]
fn secrets_are_in_no_message_and_the_code_is_on_the_screen_only_if_it_may_be() {
    let (file, identity) = provisioning_file();
    let secrets =
        |file: &str| file.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect::<Vec<_>>();
    let device = Device::new(&format!(
        "{SERVER}show_code = false\nwifi_ssid = \"My home\"\nwifi_passphrase = \"correct horse\"\nfps = x\n\
         wifi_pass = \"horse battery\"\nwifi_passphrase = \"horse staple\"\nname = \"battery staple\n"
    ));
    fs::write(device.path("boot/identity"), &file).unwrap();
    let start = device.start();
    let link = code::link(identity.code(), PAGE);
    let code = link.rsplit('#').next().unwrap().to_owned();
    let mut secret = secrets(&file);
    assert_eq!(secret.len(), 2);
    secret.extend([code, identity.code().to_hex(), "horse".into(), "staple".into()]);
    let shown =
        [start.log, start.screen, start.errors, device.read("run/problems.txt"), device.read("run/camera.toml")];
    for text in &shown {
        assert!(secret.iter().all(|secret| !text.contains(secret)), "{text}");
    }
    assert!(shown[1].contains("Roomcam") && shown[1].contains("fps takes"), "{}", shown[1]);
}

#[test]
fn a_user_that_is_not_there_is_an_error() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let device = Device::new("");
    let output = Command::new(PROGRAM)
        .args(["appliance", "prepare", "--user", "no-such-user", "--run"])
        .arg(device.path("run"))
        .output()
        .unwrap();
    assert!(!output.status.success() && said(&output).contains("there is no user no-such-user"), "{}", said(&output));
    let output = Device::new("").command("present").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("appliance prepare"), "{}", said(&output));
}
