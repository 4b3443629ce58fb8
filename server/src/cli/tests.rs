//! Command lines in process, on a temporary data directory.

use sea_orm::ConnectionTrait as _;

use super::*;

struct Outcome {
    code: u8,
    out: String,
    err: String,
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Runs a command on this data directory with `input` piped in.
    fn run(&self, arguments: &[&str], input: &str) -> Outcome {
        let data_dir = self.0.path().to_str().unwrap();
        run(&[&["avycenna"], arguments, &["--data-dir", data_dir]].concat(), input)
    }

    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let outcome = self.run(arguments, input);
        assert_eq!(outcome.code, 0, "{arguments:?}: {}", outcome.err);
        outcome.out
    }
}

fn run(arguments: &[&str], input: &str) -> Outcome {
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input.as_bytes());
    let terminal = Terminal { out: &mut out, err: &mut err, input: &mut input, is_interactive: false };
    let code = run_to_code(arguments.iter().map(OsString::from), terminal);
    Outcome { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself() {
    let top = run(&["avycenna", "--help"], "");
    assert_eq!(top.code, 0);
    let commands = [
        "serve", "import", "sql", "files", "compact", "verify", "repair", "control", "user", "key", "webhooks", "smart",
    ];
    for command in commands {
        assert!(top.out.contains(command), "{command} in {}", top.out);
        let outcome = run(&["avycenna", command, "--help"], "");
        assert_eq!(outcome.code, 0);
        assert!(outcome.out.contains("Examples:"), "{command}: {}", outcome.out);
    }
}

#[test]
fn no_command_makes_a_data_directory_where_the_server_has_none() {
    let place = Place::new();
    let nowhere = place.0.path().join("nowhere");
    let data_dir = nowhere.to_str().unwrap();
    for command in [
        &["user", "create", "--email", "ada@example.org", "--name", "Ada"][..],
        &["user", "list"],
        &["key", "list", "--user", "ada@example.org"],
        &["webhooks", "list"],
        &["smart", "client", "list"],
    ] {
        let outcome = run(&[&["avycenna"], command, &["--data-dir", data_dir]].concat(), "");
        assert_eq!(outcome.code, 1, "{command:?}");
        assert!(outcome.err.contains("say where the server's is with --data-dir"), "{command:?}: {}", outcome.err);
        assert!(!nowhere.try_exists().unwrap(), "{command:?}");
    }
}

#[test]
fn wrong_usage_and_wrong_configuration_have_code_two() {
    for arguments in [
        &["avycenna"][..],
        &["avycenna", "fly"],
        &["avycenna", "serve", "--listen", "here"],
        &["avycenna", "serve", "--print-config", "--set", "limits.nope=1"],
        &["avycenna", "serve", "--print-config", "--set", "nonsense"],
        &["avycenna", "serve", "--print-config", "--config", "/nowhere/avycenna.toml"],
        &["avycenna", "user", "create", "--email", "nobody", "--name", "x"],
    ] {
        let outcome = run(arguments, "");
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.err);
        assert!(!outcome.err.is_empty());
    }
    let outcome = run(&["avycenna", "serve", "--print-config", "--set", "limits.nope=1"], "");
    assert!(outcome.err.contains("limits.nope") && outcome.err.contains("--set"), "{}", outcome.err);
}

#[test]
fn the_effective_configuration_is_printed_with_its_sources() {
    let place = Place::new();
    let out = place.ok(&["serve", "--print-config", "--listen", "127.0.0.1:0", "--set", "limits.enabled=false"], "");
    assert!(out.contains("address = \"127.0.0.1:0\"  # flag --listen"), "{out}");
    assert!(out.contains("enabled = false  # flag --set"), "{out}");
    assert!(out.contains("# flag --data-dir"), "{out}");
}

#[test]
fn an_operator_prepares_people_and_keys() {
    let place = Place::new();
    let create = ["user", "create", "--email", "Ada@Example.org ", "--name", "Ada"];
    let id = place.ok(&create, "");
    let id = id.trim();
    assert!(id.starts_with("usr_") && id.len() == 12, "{id}");
    let again = place.run(&create, "");
    assert_eq!(again.code, 1);
    assert!(again.err.contains("taken already"), "{}", again.err);
    let doctor = ["user", "create", "--email", "doc@example.org", "--name", "Doc", "--role", "doctor"];
    place.ok(&[&doctor[..], &["--password-stdin"]].concat(), "correct horse\n");
    let list = place.ok(&["user", "list"], "");
    assert!(list.contains(&format!("{id}\tpatient\tada@example.org\tAda\n")), "{list}");
    assert!(list.contains("\tdoctor\tdoc@example.org\tDoc\n"), "{list}");

    let key = place.ok(&["key", "create", "--user", "ada@example.org", "--name", "watch", "--scope", "write"], "");
    assert!(key.starts_with("avk_") && key.trim().len() == 44, "{key}");
    place.ok(&["key", "create", "--user", id, "--name", "all", "--expires", "90d"], "");
    let keys = place.ok(&["key", "list", "--user", id], "");
    assert_eq!(keys.lines().count(), 2, "{keys}");
    let watch = keys.lines().find(|line| line.ends_with("\twatch")).unwrap();
    assert!(watch.contains(&format!("\t{}\twrite\tnever\t", &key[..12])), "{watch}");
    let (key_id, _) = watch.split_once('\t').unwrap();
    place.ok(&["key", "revoke", key_id], "");
    assert_eq!(place.run(&["key", "revoke", key_id], "").code, 5);
    assert_eq!(place.ok(&["key", "list", "--user", id], "").lines().count(), 1);
}

#[test]
fn an_operator_lists_webhooks_and_sends_again_what_failed() {
    use crate::control::entities::webhook::Model;
    use crate::control::repository::{deliveries, webhooks};
    use crate::webhooks::outbox;
    let place = Place::new();
    assert_eq!(place.ok(&["webhooks", "list"], ""), "");
    let user = place.ok(&["user", "create", "--email", "doc@example.org", "--name", "Doc", "--role", "doctor"], "");
    let id = "whk_0000000000000000";
    let row = |disabled_by: Option<&str>| Model {
        id: id.to_owned(),
        user_id: user.trim().to_owned(),
        url: "https://8.8.8.8/".to_owned(),
        events: "grant.revoked".to_owned(),
        description: None,
        secret: Vec::new(),
        old_secret: None,
        old_secret_until: None,
        disabled_at: disabled_by.map(|_| 0),
        disabled_by: disabled_by.map(str::to_owned),
        failing_since: None,
        lease_owner: None,
        lease_until: 0,
        created_at: 0,
        updated_at: 0,
    };
    let config = crate::config::Config {
        storage: crate::config::Storage { data_dir: place.0.path().to_path_buf(), ..Default::default() },
        ..Default::default()
    };
    let change = |disabled_by: Option<&'static str>, is_new: bool| {
        block_on(async {
            let (control, _) = user::open(&config).await?;
            let write = control.write().await?;
            if is_new {
                webhooks::insert(write.on(), row(None), 20).await?;
                let owed = outbox::announce_test(write.on(), id, control.now_us()).await?;
                deliveries::drop_pending(write.on(), id, "timeout").await?;
                assert!(owed.starts_with("dlv_"));
                write.on().execute_unprepared("UPDATE deliveries SET origin = 'event'").await.unwrap();
            }
            webhooks::update(write.on(), &row(disabled_by)).await?;
            write.commit().await?;
            Ok(control.close().await?)
        })
        .unwrap();
    };
    change(None, true);
    let line = |state: &str, waiting: u32| format!("{id}\t{}\t{state}\t{waiting}\thttps://8.8.8.8/\n", user.trim());
    assert_eq!(place.ok(&["webhooks", "list"], ""), line("works", 0));
    assert_eq!(place.ok(&["webhooks", "redeliver", id, "--since", "1h"], ""), "1\n");
    assert_eq!(place.ok(&["webhooks", "list", "--user", "doc@example.org"], ""), line("works", 1));
    assert_eq!(place.ok(&["webhooks", "redeliver", id, "--since", "1d"], ""), "0\n", "it is on its way");
    assert_eq!(place.run(&["webhooks", "redeliver", "whk_1", "--since", "1d"], "").code, 5);
    for since in ["", "1", "-1h", "yesterday"] {
        assert_eq!(place.run(&["webhooks", "redeliver", id, "--since", since], "").code, 2, "{since}");
    }
    change(Some("gone"), false);
    assert_eq!(place.ok(&["webhooks", "list"], ""), line("disabled: gone", 1));
    assert_eq!(place.run(&["webhooks", "redeliver", id, "--since", "1d"], "").code, 2);
}

#[test]
fn a_password_is_read_from_standard_input_and_must_be_bearable() {
    let place = Place::new();
    place.ok(&["user", "create", "--email", "ada@example.org", "--name", "Ada"], "");
    place.ok(&["user", "set-password", "ada@example.org"], "correct horse\n");
    assert_eq!(place.run(&["user", "set-password", "nobody@example.org"], "correct horse\n").code, 5);
    for bad in ["", "short\n", &"x".repeat(1025)] {
        assert_eq!(place.run(&["user", "set-password", "ada@example.org"], bad).code, 2, "{} bytes", bad.len());
    }
    place.ok(&["user", "set-password", "ada@example.org"], &"x".repeat(1024));
}

#[test]
fn a_data_directory_is_compacted_and_found_sound() {
    let place = Place::new();
    let out = place.ok(&["compact"], "");
    assert!(out.starts_with("compacted"), "{out}");
    let out = place.ok(&["verify"], "");
    assert!(out.ends_with("no damage\n"), "{out}");
    let out = place.ok(&["repair"], "");
    assert!(out.starts_with("dropped 0 pieces"), "{out}");
}

#[test]
fn a_trail_of_reads_that_was_written_by_hand_is_found_out() {
    use sea_orm::ConnectionTrait;
    let place = Place::new();
    place.ok(&["compact"], "");
    let path = place.0.path().join("control.db");
    assert!(place.ok(&["verify"], "").contains("\n0 records of reads\n"));
    assert!(!path.exists(), "looking makes nothing");
    let id = place.ok(&["user", "create", "--email", "ada@example.org", "--name", "Ada"], "");
    assert!(place.ok(&["verify"], "").contains("\n0 records of reads\n"));
    let forged = format!(
        "INSERT INTO audit_records (patient_id, seq, at, actor_id, means, means_id, grant_id, what, address, prev_hash, \
         hash) VALUES ('{}', 1, 0, 'usr_00000000', 'key', 'key_', 'grt_', 'check_ins', '::1', x'00', x'00')",
        id.trim()
    );
    block_on(async {
        let database = sea_orm::Database::connect(format!("sqlite:{}", path.display())).await.unwrap();
        database.execute_unprepared(&forged).await.unwrap();
        database.close().await.unwrap();
        Ok(())
    })
    .unwrap();
    let outcome = place.run(&["verify"], "");
    assert_eq!(outcome.code, 4, "{}", outcome.err);
    let line = format!("trail of {}, record 1: does not follow the record before it\n", id.trim());
    assert!(outcome.out.contains("1 records of reads\n") && outcome.out.contains(&line), "{}", outcome.out);
}

#[test]
fn a_deleted_row_that_was_not_overwritten_is_found_in_the_database_s_pages() {
    use sea_orm::ConnectionTrait;
    let place = Place::new();
    place.ok(&["compact"], "");
    place.ok(&["user", "create", "--email", "ada@example.org", "--name", "Ada"], "");
    let path = place.0.path().join("control.db");
    let run = |statements: &str| {
        block_on(async {
            let database = sea_orm::Database::connect(format!("sqlite:{}", path.display())).await.unwrap();
            database.execute_unprepared(statements).await.unwrap();
            database.close().await.unwrap();
            Ok(())
        })
        .unwrap();
    };
    run("PRAGMA secure_delete = OFF; DELETE FROM users");
    let outcome = place.run(&["verify", "--email", "Ada@example.org"], "");
    assert_eq!(outcome.code, 6, "{}", outcome.out);
    assert!(
        outcome.out.contains("control.db, byte ") && outcome.out.contains(", table users: ada@"),
        "{}",
        outcome.out
    );
    run("VACUUM");
    let out = place.ok(&["verify", "--email", "ada@example.org"], "");
    assert!(out.ends_with("not found: ada@example.org\n"), "{out}");
}

#[test]
fn a_data_directory_that_is_not_there_is_not_made() {
    let place = Place::new();
    let path = place.0.path().join("absent");
    for command in ["compact", "verify", "repair"] {
        let outcome = run(&["avycenna", command, "--data-dir", path.to_str().unwrap()], "");
        assert_eq!(outcome.code, 1, "{}", outcome.err);
        assert!(outcome.err.contains("absent"), "{}", outcome.err);
    }
    assert!(!path.exists());
}

#[test]
fn an_operator_registers_lists_and_removes_clients_of_other_systems() {
    let place = Place::new();
    let doctor = ["user", "create", "--email", "doc@example.org", "--name", "Doc", "--role", "doctor"];
    let doctor = place.ok(&doctor, "").trim().to_owned();
    place.ok(&["user", "create", "--email", "ada@example.org", "--name", "Ada"], "");
    let file = place.0.path().join("keys.json");
    let key = r#"{"keys":[{"kty":"EC","crv":"P-384","kid":"k1","alg":"ES384",
        "x":"lsDlWuUlvSAotM6ox7BPYlwIhi5KwoL44O_RQqB3Wl8p_k9IOoPU20-XD7psDgpp",
        "y":"iUekldL2uYz2OFz3-_J4fx2t6MFb37UxJAr_1w-Fe1AQNeL4hx2GF2DBqzMVBlRg"}]}"#;
    std::fs::write(&file, key).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let add = |owner, scope| {
        ["smart", "client", "add", "--owner", owner, "--name", "ward", "--jwks", &file, "--scope", scope]
    };
    let id = place.ok(&add("doc@example.org", "system/Observation.rs"), "").trim().to_owned();
    assert!(id.starts_with("smc_") && id.len() == 20, "{id}");
    let expected = format!("{id}\t{doctor}\tsystem/Observation.rs\tk1:ES384\tward\n");
    assert_eq!(place.ok(&["smart", "client", "list"], ""), expected);
    assert_eq!(place.ok(&["smart", "client", "list", "--owner", "doc@example.org"], ""), expected);
    assert_eq!(place.ok(&["smart", "client", "list", "--owner", "ada@example.org"], ""), "");
    for (arguments, code, says) in [
        (add("ada@example.org", "system/Observation.rs"), 2, "must be a doctor"),
        (add("doc@example.org", "user/Observation.rs"), 2, "--scope"),
        (add("nobody@example.org", "system/Observation.rs"), 5, "no such user"),
    ] {
        let outcome = place.run(&arguments, "");
        assert!(outcome.code == code && outcome.err.contains(says), "{}: {}", outcome.code, outcome.err);
    }
    let more =
        key.replace("{\"keys\":[", "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AQAB\",\"e\":\"AQAB\"},");
    std::fs::write(&file, more).unwrap();
    let outcome = place.run(&add("doc@example.org", "system/Observation.rs"), "");
    assert!(outcome.code == 0 && outcome.err.contains("left out keys[0].use"), "{}: {}", outcome.code, outcome.err);
    let second = outcome.out.trim().to_owned();
    place.ok(&["smart", "client", "remove", &second], "");
    std::fs::write(&file, key.replace("\"kid\"", "\"d\":\"AQAB\",\"kid\"")).unwrap();
    let outcome = place.run(&add("doc@example.org", "system/Observation.rs"), "");
    assert!(outcome.code == 2 && outcome.err.contains("keys[0].d"), "{}: {}", outcome.code, outcome.err);
    let set_keys = |id| ["smart", "client", "set-keys", id, "--jwks", &file];
    let outcome = place.run(&set_keys(&id), "");
    assert!(outcome.code == 2 && outcome.err.contains("keys[0].d"), "{}: {}", outcome.code, outcome.err);
    assert_eq!(place.ok(&["smart", "client", "list"], ""), expected, "what is refused changes nothing");
    std::fs::write(&file, key.replace("\"k1\"", "\"k2\"")).unwrap();
    place.ok(&set_keys(&id), "");
    assert_eq!(place.ok(&["smart", "client", "list"], ""), expected.replace("k1:", "k2:"));
    assert_eq!(place.run(&set_keys(&second), "").code, 5);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(place.run(&add("doc@example.org", "system/Observation.rs"), "").code, 1);
    place.ok(&["smart", "client", "remove", &id], "");
    assert_eq!(place.run(&["smart", "client", "remove", &id], "").code, 5);
    assert_eq!(place.ok(&["smart", "client", "list"], ""), "");
}
