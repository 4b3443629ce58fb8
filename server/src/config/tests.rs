//! The order of the sources, and what stops a start.

use std::path::Path;

use super::{Config, Database, Error, Sources};

struct Fixture {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources { working_dir: dir.path().to_path_buf(), ..Sources::default() };
        Self { dir, sources }
    }

    fn file(self, text: &str) -> Self {
        std::fs::write(self.dir.path().join("avycenna.toml"), text).unwrap();
        self
    }

    fn environment(mut self, name: &str, text: &str) -> Self {
        self.sources.environment.push((name.to_owned(), text.to_owned()));
        self
    }

    fn flag(mut self, flag: &str, key: &str, text: &str) -> Self {
        self.sources.flags.push((flag.to_owned(), key.to_owned(), text.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, Error> {
        Config::load(&self.sources)
    }
}

/// A section's value as `--print-config` would show it.
fn shown(config: &Config, name: &str) -> String {
    let (section, key) = name.split_once('.').unwrap();
    serde_json::to_value(config).unwrap()[section][key].to_string()
}

#[test]
fn the_defaults_are_sound() {
    let config = Fixture::new().load().unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.auth.access_token_s, 900);
    assert_eq!(config.control.database(Path::new("d")), Database::Sqlite(Path::new("d/control.db").to_path_buf()));
}

#[test]
fn every_source_is_read_and_understood() {
    enum From {
        File(&'static str),
        Environment(&'static str, &'static str),
        Flag(&'static str),
    }
    use From::{Environment, File, Flag};
    let cases: &[(&str, From, &str)] = &[
        ("limits.enabled", Environment("AVYCENNA_LIMITS_ENABLED", "false"), "false"),
        ("limits.enabled", File("[limits]\nenabled = false"), "false"),
        ("limits.enabled", Flag("false"), "false"),
        ("listen.address", Environment("AVYCENNA_LISTEN_ADDRESS", "0.0.0.0:0"), "\"0.0.0.0:0\""),
        ("listen.metrics", Environment("AVYCENNA_LISTEN_METRICS", "127.0.0.1:9"), "\"127.0.0.1:9\""),
        (
            "listen.trusted_proxies",
            Environment("AVYCENNA_LISTEN_TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
            "[\"10.0.0.0/8\"]",
        ),
        ("storage.data_dir", Environment("AVYCENNA_STORAGE_DATA_DIR", "/var/lib/avycenna"), "\"/var/lib/avycenna\""),
        ("storage.data_dir", Environment("AVYCENNA_STORAGE_DATA_DIR", "007"), "\"007\""),
        ("storage.erasure_ledger", Environment("AVYCENNA_STORAGE_ERASURE_LEDGER", "/srv/erased"), "\"/srv/erased\""),
        ("storage.seal_bytes", File("[storage]\nseal_bytes = 1048576"), "1048576"),
        ("storage.seal_bytes", Flag("1048576"), "1048576"),
        ("auth.issuer", Environment("AVYCENNA_AUTH_ISSUER", "true"), "\"true\""),
        ("auth.otp_s", File("[auth]\notp_s = 60"), "60"),
        (
            "auth.jwt_secrets",
            Environment(
                "AVYCENNA_AUTH_JWT_SECRETS",
                "b:00000000000000000000000000000000, a:11111111111111111111111111111111",
            ),
            "[\"***\",\"***\"]",
        ),
        (
            "control.database_url",
            Environment("AVYCENNA_CONTROL_DATABASE_URL", "postgres://me:pw@db/x"),
            "\"postgres://me:***@db/x\"",
        ),
        ("control.database_url", Environment("AVYCENNA_CONTROL_URL", "sqlite:x.db"), "\"sqlite:x.db\""),
        ("control.database_url", File("[control]\nurl = \"sqlite:x.db\""), "\"sqlite:x.db\""),
        (
            "mail.smtp_url",
            File("[mail]\nsmtp_url = \"smtps://u:pw@mail.example:465\""),
            "\"smtps://u:***@mail.example:465\"",
        ),
        ("fhir.mood_loinc", Environment("AVYCENNA_FHIR_MOOD_LOINC", "false"), "false"),
        ("fhir.base_url", Environment("AVYCENNA_FHIR_BASE_URL", "https://h.org/x"), "\"https://h.org/x\""),
        ("webhooks.allow_http", Environment("AVYCENNA_WEBHOOKS_ALLOW_HTTP", "true"), "true"),
        (
            "webhooks.allowed_networks",
            Environment("AVYCENNA_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8, 10.1.0.0/16"),
            "[\"127.0.0.0/8\",\"10.1.0.0/16\"]",
        ),
        ("webhooks.allowed_networks", Environment("AVYCENNA_WEBHOOKS_ALLOWED_NETWORKS", "::1"), "[\"::1/128\"]"),
        ("webhooks.allowed_networks", File("[webhooks]\nallowed_networks = [\"fd00::/8\"]"), "[\"fd00::/8\"]"),
        (
            "secrets.key",
            Environment("AVYCENNA_SECRETS_KEY", "0123456789012345678901234567890123456789012345678901234567890123"),
            "\"***\"",
        ),
        ("log.format", Environment("AVYCENNA_LOG_FORMAT", "json"), "\"json\""),
        ("log.level", Flag("warn,storage=debug"), "\"warn,storage=debug\""),
    ];
    for (key, source, expected) in cases {
        let fixture = match source {
            File(text) => Fixture::new().file(text),
            Environment(name, text) => Fixture::new().environment(name, text),
            Flag(text) => Fixture::new().flag("--set", key, text),
        };
        assert_eq!(&shown(&fixture.load().unwrap(), key), expected, "{key}");
    }
}

#[test]
fn flags_win_over_environment_over_file() {
    let fixture = Fixture::new().file("[auth]\nissuer = \"file\"\naudience = \"file\"\n[limits]\nkey_burst = 7");
    let fixture = fixture.environment("AVYCENNA_AUTH_ISSUER", "environment");
    let fixture = fixture.environment("AVYCENNA_AUTH_AUDIENCE", "environment");
    let config = fixture.flag("--set", "auth.issuer", "flag").load().unwrap();
    assert_eq!(config.auth.issuer, "flag");
    assert_eq!(config.auth.audience, "environment");
    assert_eq!(config.limits.key_burst, 7);
    assert_eq!(config.limits.key_per_s, Config::default().limits.key_per_s);
    assert_eq!(config.origins["auth.issuer"], "flag --set");
    assert_eq!(config.origins["auth.audience"], "environment variable AVYCENNA_AUTH_AUDIENCE");
    assert!(config.origins["limits.key_burst"].starts_with("file "));
}

#[test]
fn what_is_unknown_or_bad_stops_the_start_and_names_key_and_source() {
    let cases: &[(Fixture, &str, &str, &str)] = &[
        (
            Fixture::new().environment("AVYCENNA_LIMITS_ENABLE", "false"),
            "limits.enable",
            "environment variable AVYCENNA_LIMITS_ENABLE",
            "is unknown",
        ),
        (
            Fixture::new().environment("AVYCENNA_NOPE", "1"),
            "AVYCENNA_NOPE",
            "the environment",
            "AVYCENNA_<SECTION>_<KEY>",
        ),
        (
            Fixture::new().environment("AVYCENNA_NOPE_NOPE", "1"),
            "nope.nope",
            "environment variable AVYCENNA_NOPE_NOPE",
            "is unknown",
        ),
        (
            Fixture::new().environment("AVYCENNA_LIMITS_ENABLED", "maybe"),
            "limits.enabled",
            "environment variable AVYCENNA_LIMITS_ENABLED",
            "must be a boolean",
        ),
        (Fixture::new().file("[listen]\naddress = \"here\""), "listen.address", "file ", "address"),
        (Fixture::new().file("[listen]\nadress = \"127.0.0.1:1\""), "listen.adress", "file ", "is unknown"),
        (Fixture::new().file("lissten = 3"), "lissten", "file ", "is unknown"),
        (Fixture::new().flag("--set", "listen", "1"), "listen", "flag --set", "section.key=value"),
        (Fixture::new().flag("--set", "auth.otp_s", "-1"), "auth.otp_s", "flag --set", "must be"),
        (Fixture::new().flag("--set", "auth.otp_s", "0"), "auth.otp_s", "flag --set", "at least 1"),
        (Fixture::new().file("[storage]\nseal_bytes = 1000000000"), "storage.seal_bytes", "file ", "half of"),
        (
            Fixture::new().file("[storage]\nmemtable_bytes_max = 4096"),
            "storage.seal_bytes",
            "the defaults",
            "memtable_bytes_max",
        ),
        (Fixture::new().file("[storage]\nseal_age_s = 0"), "storage.seal_age_s", "file ", "more than nothing"),
        (
            Fixture::new().file("[control]\ndatabase_url = \"mysql://x\""),
            "control.database_url",
            "file ",
            "sqlite:PATH",
        ),
        (Fixture::new().file("[log]\nformat = \"xml\""), "log.format", "file ", "text, json"),
        (Fixture::new().file("[mail]\nfrom = \"nobody\""), "mail.from", "file ", "mail address"),
        (Fixture::new().file("[fhir]\nbase_url = \"health.example.org\""), "fhir.base_url", "file ", "https://"),
        (Fixture::new().file("[fhir]\nbase_url = \"https://h.org/\""), "fhir.base_url", "file ", "slash"),
        (Fixture::new().file("[webhooks]\nin_flight_max = 1"), "webhooks.in_flight_max", "file ", "between 2"),
        (
            Fixture::new().environment("AVYCENNA_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8;10.0.0.0/8"),
            "webhooks.allowed_networks",
            "environment variable AVYCENNA_WEBHOOKS_ALLOWED_NETWORKS",
            "network",
        ),
        (
            Fixture::new().environment("AVYCENNA_SECRETS_KEY", "hunter2"),
            "secrets.key",
            "environment variable AVYCENNA_SECRETS_KEY",
            "64 hex digits",
        ),
        (Fixture::new().file("[limits]\nbody_bytes_max = 1000"), "limits.body_bytes_max", "file ", "1 MiB"),
    ];
    for (fixture, key, origin, what) in cases {
        let error = fixture.load().unwrap_err();
        assert_eq!(&error.key, key, "{error}");
        assert!(error.origin.starts_with(origin), "{error}");
        assert!(error.what.contains(what), "{error}");
    }
}

#[test]
fn a_bad_secret_is_named_and_not_shown() {
    let error = Fixture::new().environment("AVYCENNA_AUTH_JWT_SECRETS", "k:hunter2").load().unwrap_err();
    assert_eq!(error.key, "auth.jwt_secrets");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn broken_toml_names_the_file() {
    let error = Fixture::new().file("[listen\naddress").load().unwrap_err();
    assert!(error.key.ends_with("avycenna.toml"), "{error}");
}

#[test]
fn a_named_file_must_exist() {
    let mut fixture = Fixture::new();
    fixture.sources.file = Some(fixture.dir.path().join("absent.toml"));
    assert_eq!(fixture.load().unwrap_err().origin, "flag --config");
    let fixture = Fixture::new().environment("AVYCENNA_CONFIG", "/nowhere/at/all.toml");
    assert_eq!(fixture.load().unwrap_err().origin, "environment variable AVYCENNA_CONFIG");
}

#[test]
fn the_file_in_the_data_directory_comes_before_the_one_beside_us() {
    let fixture = Fixture::new().file("[auth]\nissuer = \"beside\"").environment("AVYCENNA_STORAGE_DATA_DIR", "there");
    assert_eq!(fixture.load().unwrap().auth.issuer, "beside");
    let there = fixture.dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("avycenna.toml"), "[auth]\nissuer = \"inside\"").unwrap();
    assert_eq!(fixture.load().unwrap().auth.issuer, "inside");
}

#[test]
fn variables_of_others_and_of_the_tests_are_ignored() {
    let fixture = Fixture::new().environment("PATH", "/bin").environment("AVYCENNA_TEST_POSTGRES", "postgres://x");
    assert_eq!(fixture.load().unwrap(), Config::default());
}

#[test]
fn the_printed_configuration_can_be_read_back_and_shows_no_secret() {
    let fixture = Fixture::new()
        .environment("AVYCENNA_AUTH_ISSUER", "a \"quoted\" name")
        .environment("AVYCENNA_AUTH_JWT_SECRETS", "k:hunter2hunter2hunter2hunter2hunter2")
        .environment("AVYCENNA_MAIL_SMTP_URL", "smtp://u:hunter2@h:587?tls=required&password=hunter2");
    let config = fixture.load().unwrap();
    let text = config.to_toml();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(text.contains("issuer = \"a \\\"quoted\\\" name\"  # environment variable AVYCENNA_AUTH_ISSUER"), "{text}");
    let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("jwt_secrets")).collect();
    let again = Fixture::new().file(&text).load().unwrap();
    assert_eq!(again.auth.issuer, config.auth.issuer);
    assert_eq!(again.limits, config.limits);
    assert_eq!(again.storage, config.storage);
}

#[test]
fn metrics_of_the_operator_s_own_come_from_the_file_and_are_checked() {
    let glucose = "[[metrics]]\nkey = \"blood_glucose\"\nunit = \"mg/dL\"\nmin = 10\nmax = 1000\n\
                   units = [{ unit = \"mmol/L\", factor = 18.0156 }]\n";
    let config = Fixture::new().file(glucose).load().unwrap();
    let catalogue = config.engine().unwrap().catalogue;
    assert_eq!(&*catalogue.get("blood_glucose").unwrap().unit, "mg/dL");
    let again = Fixture::new().file(&config.to_toml()).load().unwrap();
    assert_eq!(again.metrics, config.metrics);

    let error = Fixture::new().file(&glucose.replace("max = 1000", "max = 1")).load().unwrap_err();
    assert_eq!(error.key, "metrics.blood_glucose", "{error}");
    assert!(error.origin.starts_with("file "), "{error}");
    let error = Fixture::new().file(&glucose.replace("min", "minimum")).load().unwrap_err();
    assert_eq!(error.key, "metrics", "{error}");
    assert!(error.what.contains("is unknown"), "{error}");
}
