//! Mail into the file, and to a mail server of the test's own.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;

fn mail(body: &str) -> Mail {
    Mail { to: "ada@example.org".to_owned(), subject: "Hello".to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn without_a_mail_server_mail_is_in_the_file_when_the_mailer_has_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = dir.path().to_path_buf();
    let mailer = Mailer::open(&config).unwrap();
    mailer.send(mail("first\nFrom here on\n"));
    mailer.send(mail("second"));
    let other = mailer.clone();
    mailer.close().await;
    other.send(mail("too late"));
    let path = dir.path().join(FILE_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("\nTo: ada@example.org\n").count(), 2, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("From ")).count(), 2, "{text}");
    assert!(text.contains("\nfirst\n>From here on\n") && text.contains("\nsecond\n"), "{text}");
    assert!(!text.contains("too late"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn mail_that_can_wait_takes_no_room_and_no_turn_from_codes() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = dir.path().to_path_buf();
    let mailer = Mailer::open(&config).unwrap();
    // Nothing is taken out yet: this runtime has one thread, and it is here.
    for _ in 0..WAITING_MAX + LATER_MAX {
        mailer.send_later(mail("an invitation"));
    }
    mailer.send(mail("a code"));
    mailer.forget(vec!["nobody@example.org".to_owned()]).await.unwrap();
    let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(text.matches("\nan invitation\n").count(), LATER_MAX, "what was handed over before is written");
    assert!(text.find("\na code\n").unwrap() < text.find("\nan invitation\n").unwrap(), "the code went first");
    mailer.close().await;
}

#[tokio::test]
async fn what_cannot_be_an_address_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let way = Way::File(dir.path().join(FILE_NAME));
    let from: Mailbox = "a@b.example".parse().unwrap();
    let result = send(&way, &from, Mail { to: "x\ny".to_owned(), ..mail("") }).await;
    assert!(matches!(result, Err(MailError::Address(_))));
    let way = Way::File(dir.path().join("absent").join(FILE_NAME));
    assert!(matches!(send(&way, &from, mail("")).await, Err(MailError::File { .. })));
}

/// A mail server that takes everything once it is told to begin: whom it got mail for.
async fn mail_server(begin: oneshot::Receiver<()>) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (got, gets) = mpsc::unbounded_channel();
    drop(tokio::spawn(async move {
        begin.await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client may open one before it has given the last one back.
            drop(tokio::spawn(take_mail(BufReader::new(stream), got.clone())));
        }
    }));
    (address, gets)
}

async fn take_mail(mut stream: BufReader<tokio::net::TcpStream>, got: mpsc::UnboundedSender<String>) {
    stream.write_all(b"220 here\r\n").await.unwrap();
    let (mut line, mut is_body) = (String::new(), false);
    while stream.read_line(&mut line).await.unwrap() > 0 {
        let answer = match line.trim_end() {
            "DATA" => "354 go on\r\n",
            "." => "250 taken\r\n",
            _ if is_body => "",
            text => {
                if let Some(to) = text.strip_prefix("RCPT TO:") {
                    got.send(to.to_owned()).unwrap();
                }
                "250 well\r\n"
            }
        };
        is_body = answer.starts_with("354") || (is_body && answer.is_empty());
        stream.write_all(answer.as_bytes()).await.unwrap();
        line.clear();
    }
}

#[tokio::test]
async fn what_waits_for_a_mail_server_is_dropped_for_who_was_erased_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (begin, is_begun) = oneshot::channel();
    let (address, mut gets) = mail_server(is_begun).await;
    let mut config = Config::default();
    config.storage.data_dir = dir.path().to_path_buf();
    config.mail.smtp_url = Some(crate::config::SecretUrl::new(format!("smtp://{address}")));
    config.mail.send_s = 60;
    let mailer = Mailer::open(&config).unwrap();
    let to = |name: &str, body: &str| Mail { to: format!("{name}@example.org"), ..mail(body) };
    mailer.send(to("bo", "first"));
    mailer.send(to("ada", "a code"));
    mailer.send_later(to("ada", "an invitation"));
    mailer.send_later(to("cy", "somebody says hello to ada@example.org"));
    mailer.send_later(to("dee", "usr_0000000a"));
    mailer.send(to("adam", "not hers"));
    mailer.forget(vec!["ada@example.org".to_owned(), "usr_0000000a".to_owned()]).await.unwrap();
    // Whoever comes back with this address is somebody new.
    mailer.send(to("ada", "welcome"));
    begin.send(()).unwrap();
    let forgotten = Arc::clone(&mailer.forgotten);
    mailer.close().await;
    let mut got = Vec::new();
    while let Ok(to) = gets.try_recv() {
        got.push(to);
    }
    assert_eq!(got, ["<bo@example.org>", "<adam@example.org>", "<ada@example.org>"]);
    assert!(lock(&forgotten).words.is_empty(), "her address is not kept");
}
