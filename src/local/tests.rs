//! The local socket with a real socket between: what is refused, what is bounded, and where the socket is.

use std::path::Path;
use std::time::Duration;

use cairn_actors::api::{ApiError, ConversationKind, Event, PageAt, PeerState};
use cairn_actors::limits::{LOCAL_CONNECTIONS, LOCAL_LINE_MAX, MESSAGE_MAX, PAGE_MAX};
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::Client;
use super::fake::{FakeNode, conversation, message, peer, status};
use super::place::{FILE, places};
use super::protocol::{At, LocalReply, LocalRequest, decode, encode};
use super::server::{ServeError, serve};

/// A connection that can say anything.
struct Raw(Stream);

impl Raw {
    async fn connect(data: &Path) -> Self {
        Self(Stream::connect(places(data, false).unwrap()[0].name().unwrap()).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.0.read_u8().await {
                Ok(b'\n') => break,
                Ok(b) => line.push(b),
                Err(_) => break,
            }
        }
        String::from_utf8(line).unwrap()
    }

    async fn error(&mut self) -> String {
        match decode::<LocalReply>(self.line().await.as_bytes()) {
            Ok(LocalReply::Error(e)) => e.code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn requests_and_replies_have_one_form() {
    let line = |r: &LocalRequest| String::from_utf8(encode(r).unwrap()).unwrap();
    assert_eq!(line(&LocalRequest::Status), "{\"v\":1,\"do\":\"status\"}\n");
    let space = conversation(9, ConversationKind::Group, "").id;
    let page = LocalRequest::Page { conversation: space, at: At::Newest, limit: 5 };
    assert_eq!(
        line(&page),
        format!("{{\"v\":1,\"do\":\"page\",\"conversation\":\"{space}\",\"at\":\"newest\",\"limit\":5}}\n")
    );
    let key = message(&conversation(9, ConversationKind::Group, ""), 1, 5, "").key;
    for request in [
        page,
        LocalRequest::Page { conversation: space, at: At::Before(key), limit: 5 },
        LocalRequest::Resolve { name: "@maya".parse().unwrap() },
        LocalRequest::Say { conversation: space, body: "\u{1}\n张".into(), id: Some(key.id), reply_to: Some(key.id) },
        LocalRequest::Say { conversation: space, body: String::new(), id: None, reply_to: None },
        LocalRequest::Edit { conversation: space, id: key.id, body: "new".into() },
        LocalRequest::Delete { conversation: space, id: key.id },
        LocalRequest::React { conversation: space, id: key.id, emoji: "👍".into(), on: true },
        LocalRequest::Typing { conversation: space, on: true },
        LocalRequest::SetPinned { conversation: space, pinned: true },
        LocalRequest::SetMuted { conversation: space, until: Some(9) },
        LocalRequest::SetMuted { conversation: space, until: None },
        LocalRequest::Versions { conversation: space, id: key.id },
        LocalRequest::MarkRead { conversation: space, key },
        LocalRequest::Subscribe,
    ] {
        assert_eq!(decode::<LocalRequest>(line(&request).as_bytes()).unwrap(), request);
    }
    let ready = LocalReply::Event(Box::new(Event::Ready(Box::new(status()))));
    assert_eq!(decode::<LocalReply>(&encode(&ready).unwrap()).unwrap(), ready);
    assert_eq!(encode(&LocalReply::Done).unwrap(), b"{\"v\":1,\"reply\":\"done\"}\n");
    let error = LocalReply::Error(ApiError::new("a", "b"));
    assert_eq!(
        encode(&error).unwrap(),
        b"{\"v\":1,\"reply\":\"error\",\"value\":{\"code\":\"a\",\"message\":\"b\"}}\n"
    );
}

#[test]
fn lines_that_are_no_requests_are_refused_by_name() {
    let code = |text: &str| decode::<LocalRequest>(text.as_bytes()).unwrap_err().code;
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        "{\"v\":1}",
        "{\"do\":\"status\"}",
        "{\"v\":1,\"do\":\"dance\"}",
        "{\"v\":1,\"do\":\"say\"}",
        "{\"v\":1,\"do\":\"kill\",\"actor\":5}",
        "{\"v\":1,\"do\":\"resolve\",\"name\":\"maya\"}",
        "{\"v\":-1,\"do\":\"status\"}",
        "\u{0}",
    ] {
        assert_eq!(code(bad), "bad_request", "{bad}");
    }
    assert_eq!(code("{\"v\":2,\"do\":\"status\"}"), "bad_version");
    assert_eq!(code("{\"v\":2,\"do\":\"something new\",\"x\":[]}"), "bad_version");
    let deep = "[".repeat(100_000);
    assert_eq!(code(&deep), "bad_request");
    let whole = encode(&LocalRequest::Kill { actor: "storage".into() }).unwrap();
    for cut in 0..whole.len() - 2 {
        assert!(decode::<LocalRequest>(&whole[..cut]).is_err());
    }
}

#[tokio::test]
async fn nonsense_gets_an_error_and_the_connection_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let _server = serve(dir.path(), FakeNode::start().handle()).unwrap();
    let mut raw = Raw::connect(dir.path()).await;
    raw.send("what\n{\"v\":9,\"do\":\"status\"}\n").await;
    assert_eq!(raw.error().await, "bad_request");
    assert_eq!(raw.error().await, "bad_version");
    raw.send("{\"v\":1,\"do\":\"status\"}\r\n").await;
    assert!(raw.line().await.starts_with("{\"v\":1,\"reply\":\"status\",\"value\":{"));
}

#[tokio::test]
async fn an_endless_line_ends_the_connection_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let _server = serve(dir.path(), FakeNode::start().handle()).unwrap();
    let mut raw = Raw::connect(dir.path()).await;
    let chunk = vec![b'x'; 64 * 1024];
    for _ in 0..=LOCAL_LINE_MAX / chunk.len() {
        // The server stops reading at the bound.
        if raw.0.write_all(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(raw.error().await, "line_too_long");
    assert_eq!(raw.line().await, "");
    // Others are served as before.
    Client::connect(dir.path()).await.unwrap().unwrap().status().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_waits_and_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let _server = serve(dir.path(), FakeNode::start().handle()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..LOCAL_CONNECTIONS {
        let mut client = Client::connect(dir.path()).await.unwrap().unwrap();
        client.status().await.unwrap();
        clients.push(client);
    }
    let mut one_more = Client::connect(dir.path()).await.unwrap().unwrap();
    assert_eq!(one_more.status().await.unwrap_err().code, "busy");
    // One that waits gets the place of one that goes.
    let mut one_more = Client::connect(dir.path()).await.unwrap().unwrap();
    let (answer, ()) = tokio::join!(one_more.status(), async { drop(clients.pop()) });
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut raw = Raw::connect(dir.path()).await;
    raw.send("{\"v\":1,\"do\":\"subscribe\"}\n").await;
    fake.subscribed().await;
    let room = conversation(40, ConversationKind::Everyone, "Everyone");
    for n in 0..100 {
        fake.event(Event::Message(Box::new(message(&room, n, n, &"x".repeat(MESSAGE_MAX)))));
    }
    // Time stands still but for timeouts: when nothing moves any more, the server's runs out.
    while fake.subscribers() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Client::connect(dir.path()).await.unwrap().unwrap().status().await.unwrap();
}

#[tokio::test]
async fn events_arrive_and_end_with_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let server = serve(dir.path(), fake.handle()).unwrap();
    let mut events = Client::connect(dir.path()).await.unwrap().unwrap().subscribe().await.unwrap();
    fake.event(Event::Lagged);
    fake.event(Event::Peer(Box::new(peer(1, "Maya", PeerState::Away))));
    assert_eq!(events.next().await.unwrap(), Event::Lagged);
    assert!(matches!(events.next().await.unwrap(), Event::Peer(p) if p.state == PeerState::Away));
    server.close().await;
    assert_eq!(events.next().await.unwrap_err().code, "stopped");
}

#[tokio::test]
async fn long_lists_and_pages_keep_lines_short() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let many: Vec<_> = (0..6_000).map(|n| peer((n % 250) as u8, &format!("peer {n}"), PeerState::Offline)).collect();
    fake.set_peers(many.clone());
    let mut client = Client::connect(dir.path()).await.unwrap().unwrap();
    assert_eq!(client.peers().await.unwrap(), many);

    let room = conversation(40, ConversationKind::Everyone, "Everyone");
    // The worst text: every byte becomes six.
    let worst = "\u{1}".repeat(MESSAGE_MAX);
    for n in 0..5 {
        fake.add(message(&room, n, n * 1000, &worst));
    }
    let newest = client.page(room.id, PageAt::Newest, PAGE_MAX).await.unwrap();
    assert_eq!((newest.messages.len(), newest.older, newest.newer), (2, true, false));
    assert_eq!(newest.messages[1].sent, 4000);
    let first = newest.messages[0].key;
    let before = client.page(room.id, PageAt::Before(first), PAGE_MAX).await.unwrap();
    assert_eq!((before.messages.len(), before.messages[1].sent), (2, 2000));
    let oldest = before.messages[0].key;
    let after = client.page(room.id, PageAt::After(oldest), PAGE_MAX).await.unwrap();
    assert_eq!((after.messages.len(), after.messages[0].sent, after.newer), (2, 2000, true));
    // And it can be said.
    client.say(room.id, &worst, None).await.unwrap();
    assert_eq!(fake.said()[0].2, worst);
}

#[tokio::test]
async fn nobody_there_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Client::connect(dir.path()).await.unwrap().is_none());
    assert!(Client::connect(&dir.path().join("nowhere")).await.unwrap().is_none());
}

#[cfg(unix)]
mod files {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_owner_only_and_goes_with_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path(), FakeNode::start().handle()).unwrap();
        let socket = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(server.path(), socket.canonicalize().unwrap());
        server.close().await;
        assert!(!socket.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_node_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(dir.path().join(FILE)).unwrap());
        assert!(dir.path().join(FILE).exists());
        assert!(Client::connect(dir.path()).await.unwrap().is_none());
        let _server = serve(dir.path(), FakeNode::start().handle()).unwrap();
        Client::connect(dir.path()).await.unwrap().unwrap().status().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "mine").unwrap();
        let error = serve(dir.path(), FakeNode::start().handle()).unwrap_err();
        assert!(matches!(error, ServeError::NotASocket(_)));
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_folder_with_a_long_path_works_by_any_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("ordner".repeat(12)).join("文件夹".repeat(10));
        std::fs::create_dir_all(&long).unwrap();
        let link = dir.path().join("short");
        std::os::unix::fs::symlink(&long, &link).unwrap();
        let server = serve(&long, FakeNode::start().handle()).unwrap();
        assert!(!long.join(FILE).exists());
        for path in [&long, &link] {
            Client::connect(path).await.unwrap().unwrap().status().await.unwrap();
        }
        let socket = server.path().to_owned();
        let folder = std::fs::metadata(socket.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o077, 0);
        server.close().await;
        assert!(!socket.exists());
    }
}

#[tokio::test]
async fn behind_the_lock_nothing_is_told_but_how_the_node_is() {
    let dir = tempfile::tempdir().unwrap();
    let words = "correct horse battery staple";
    let cost = cairn_crdt::vault::Cost::LEAST;
    cairn_actors::vault::set(&mut cairn_actors::data::DataFolder::open(dir.path()).unwrap(), words, cost).unwrap();
    let key = cairn_actors::vault::lock_of(dir.path()).unwrap().unwrap().open(words).unwrap();
    let fake = FakeNode::start();
    let lock = crate::lock::ScreenLock::open(dir.path(), Some(key.clone()));
    let _server = super::server::serve_behind(dir.path(), fake.handle(), lock.clone()).unwrap();
    let mut client = Client::connect(dir.path()).await.unwrap().unwrap();
    let mut events = Client::connect(dir.path()).await.unwrap().unwrap().subscribe().await.unwrap();
    assert!(!client.peers().await.unwrap().is_empty());
    client.lock().await.unwrap();
    assert!(lock.is_locked());
    assert_eq!(client.peers().await.unwrap_err().code, "locked");
    assert_eq!(client.conversations().await.unwrap_err().code, "locked");
    assert_eq!(client.say(cairn_crdt::ids::SpaceId([1; 32]), "x", None).await.unwrap_err().code, "locked");
    let page = client.page(cairn_crdt::ids::SpaceId([1; 32]), PageAt::Newest, 5).await;
    assert_eq!(page.unwrap_err().code, "locked");
    client.status().await.unwrap();
    fake.event(Event::Notice { code: "x".into(), message: "behind the lock".into() });
    let another = cairn_crdt::vault::DataKey::new(&[1; 32]);
    assert_eq!(client.unlock(&another).await.unwrap_err().code, "wrong_passphrase");
    assert_eq!(client.peers().await.unwrap_err().code, "locked");
    client.unlock(&key).await.unwrap();
    assert!(!client.peers().await.unwrap().is_empty());
    let told = Event::Notice { code: "y".into(), message: "in the open".into() };
    fake.event(told.clone());
    assert_eq!(events.next().await.unwrap(), Event::Lagged, "something was missed");
    assert_eq!(events.next().await.unwrap(), told);
    // A folder without a passphrase has nothing to be unlocked with.
    let (plain, other) = (tempfile::tempdir().unwrap(), FakeNode::start());
    let _server = super::server::serve(plain.path(), other.handle()).unwrap();
    let mut client = Client::connect(plain.path()).await.unwrap().unwrap();
    assert_eq!(client.lock().await.unwrap_err().code, "no_passphrase");
    client.peers().await.unwrap();
}
