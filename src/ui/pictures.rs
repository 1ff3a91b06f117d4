//! Pictures of the window in all its states, drawn without a display: `CAIRN_PICTURES=DIR cargo test -p cairn --features
//! pictures --lib pictures` writes them; without the variable they go to a folder that is gone afterwards.

use egui_kittest::Harness;

use super::intent::Intent;
use super::model::key::Secret;
use super::model::{Model, Preferences, ThemeChoice, Update, View};
use super::sample;
use super::window::Window;
use cairn_actors::api::{
    ApiError, Badge, Event, LinkState, NetworkKeyState, NetworkState, OldKey, Page, PageAt, PeerState, Safety, Warning,
};
use cairn_crdt::netkey::{Invite, NetworkKey};

fn draw(dir: &std::path::Path, name: &str, size: [f32; 2], scale: f32, model: Model, after: impl Fn(&mut Model)) {
    let mut window: Option<Window> = None;
    let mut model = Some(model);
    let mut harness =
        Harness::builder().with_size(size).with_pixels_per_point(scale).with_render_cursor(false).wgpu().build_ui(
            move |ui| {
                let ctx = ui.ctx().clone();
                if window.is_none() {
                    window = model.take().map(|m| Window::of(&ctx, m));
                    // The fonts are there from the next frame on.
                    ctx.request_repaint();
                    return;
                }
                if let Some(w) = &mut window {
                    let _ = w.frame(ui, &sample::clock());
                    after(&mut w.model);
                }
            },
        );
    harness.run_steps(6);
    let image = harness.render().expect("a picture");
    image.save(dir.join(format!("{name}.png"))).expect("a file");
    println!("{name}.png");
}

fn themed(theme: ThemeChoice) -> Model {
    let mut m = sample::model();
    m.preferences.theme = theme;
    m
}

#[test]
fn pictures() {
    let aside = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("CAIRN_PICTURES").map_or_else(|| aside.path().to_path_buf(), std::path::PathBuf::from);
    std::fs::create_dir_all(&dir).unwrap();
    let only = std::env::var("CAIRN_PICTURE").unwrap_or_default();
    let full = [1280.0, 800.0];
    let light = || themed(ThemeChoice::Light);
    let shoot = |name: &str, size: [f32; 2], model: Model| {
        if name.contains(&only) {
            draw(&dir, name, size, 1.0, model, |_| {});
        }
    };
    shoot("conversation-light", full, light());
    shoot("conversation-dark", full, themed(ThemeChoice::Dark));
    shoot("conversation-sun", full, themed(ThemeChoice::Sunlight));
    shoot("conversation-night", full, themed(ThemeChoice::Night));
    if "conversation-hidpi".contains(&only) {
        draw(&dir, "conversation-hidpi", full, 2.0, light(), |_| {});
    }
    let with = |m: Model, intents: Vec<Intent>| {
        let mut m = m;
        for i in intents {
            m.act(i);
        }
        m
    };
    let page = |messages| Ok(Page { total: 0, before: 0, messages, older: false, newer: false });
    let maya = |theme| {
        let mut m = with(themed(theme), vec![Intent::Open(sample::direct(1))]);
        let mut messages = sample::morning();
        messages.retain(|m| m.author == sample::device(1) || m.mine);
        for m in &mut messages {
            m.members = 1;
            m.delivered_to = 1;
        }
        let mark = messages.get(2).map(|m| m.key);
        m.apply(Update::Page(sample::direct(1), PageAt::Newest, page(messages)));
        if let (Some(mark), Some(c)) = (mark, m.conversations.get_mut(1)) {
            c.read_to = mark;
        }
        m
    };
    shoot("person-light", full, maya(ThemeChoice::Light));
    shoot("person-dark", full, maya(ThemeChoice::Dark));
    let sheet = |theme, n: u8, size: [f32; 2], name: &str| {
        let mut m = with(themed(theme), vec![Intent::Open(sample::direct(n)), Intent::Verify(sample::device(n))]);
        m.apply(Update::Safety(Box::new(Safety::between(&sample::me(), sample::peer(n)))));
        if n == 5 {
            m.act(Intent::TheyDiffer(sample::device(n)));
        }
        shoot(name, size, m);
    };
    sheet(ThemeChoice::Light, 6, full, "verify-light");
    sheet(ThemeChoice::Dark, 5, full, "verify-differs-dark");
    sheet(ThemeChoice::Sunlight, 1, full, "verify-sun");
    sheet(ThemeChoice::Night, 6, full, "verify-night");
    sheet(ThemeChoice::Light, 6, [420.0, 720.0], "verify-narrow");
    let key = |theme, name: &str, shown: bool| {
        let mut m = with(themed(theme), vec![Intent::Show(View::Network), Intent::KeySheet(true)]);
        if shown {
            let mut status = sample::status();
            let key = NetworkKey::from_secret(&[7; 32]);
            let old = vec![OldKey { code: "kq2t-9f0m".into(), until: 1_795_800_000_000 }];
            status.network_key = Some(NetworkKeyState { code: key.code(), since: 1_795_200_000_000, old });
            m.apply(Update::Status(Box::new(status)));
            let invite = Invite { network: key.network(), key, name: "North Ridge".into() };
            m.apply(Update::Key(Ok(Secret(invite.to_string().into()))));
        }
        shoot(name, [1280.0, 900.0], m);
    };
    key(ThemeChoice::Light, "key-none-light", false);
    key(ThemeChoice::Dark, "key-shown-dark", true);
    let taken = |theme| {
        let mut m = with(themed(theme), vec![Intent::Open(sample::direct(5))]);
        let (mut liar, mut maya) = (sample::peer(5), sample::peer(1));
        (liar.name, liar.badge, liar.namesake, maya.namesake) = (maya.name.clone(), Badge::Warning, true, true);
        liar.own_name = Some(liar.name.clone());
        let sentence = format!(
            "{} uses the name of your contact {}, whom you verified, but is another device. Either that person has another \
             or a reinstalled laptop, or somebody pretends to be them: compare the safety number before you trust it.",
            liar.label(),
            maya.label()
        );
        liar.warning = Some(Warning { of: maya.id, mine: false, sentence });
        for p in [liar, maya] {
            m.apply(Update::Event(Box::new(Event::Peer(Box::new(p)))));
        }
        m.act(Intent::Open(sample::everyone()));
        m
    };
    shoot("name-taken-room-light", full, taken(ThemeChoice::Light));
    let person = with(taken(ThemeChoice::Dark), vec![Intent::Open(sample::direct(5))]);
    shoot("name-taken-person-dark", full, person);
    let mut new = light();
    new.act(Intent::Open(sample::direct(2)));
    if let Some(c) = new.conversations.first_mut() {
        c.unread = 3;
        c.read_to = sample::morning()[6].key;
    }
    new.act(Intent::Open(sample::everyone()));
    shoot("new-messages-light", full, new);
    let mut newer = light();
    let mut messages = sample::morning();
    messages.insert(8, sample::placeholder(3, 3));
    messages.push(sample::placeholder(1, 10));
    newer.apply(Update::Page(sample::everyone(), PageAt::Newest, page(messages)));
    if let Some(c) = newer.conversations.first_mut() {
        c.needs_newer = 4;
    }
    shoot("needs-newer-light", full, newer);
    // Answers, mentions, reactions, something edited and something deleted; one is being answered, two people write.
    let talked = |theme| {
        let mut m = themed(theme);
        let mut messages = sample::morning();
        sample::talk(&mut messages);
        let key = messages.last().map(|m| m.key);
        m.apply(Update::Page(sample::everyone(), PageAt::Newest, page(messages)));
        for (n, name) in [(1, "Maya Okafor"), (3, "Medic-3")] {
            let (conversation, device, name) = (sample::everyone(), sample::device(n), name.to_owned());
            m.apply(Update::Event(Box::new(Event::Typing { conversation, device, name, typing: true })));
        }
        let mut list = sample::conversations();
        (list[1].pinned, list[1].unread, list[1].mentions) = (Some(1), 12, 1);
        (list[2].muted_until, list[2].unread) = (Some(u64::MAX), 5);
        (list[3].last, list[3].needs_key, list[3].unread) = (None, 1, 1);
        m.apply(Update::Conversations(list));
        m.act(Intent::Open(sample::everyone()));
        m.act(Intent::Answer(sample::everyone(), key.unwrap()));
        m
    };
    shoot("talk-light", full, talked(ThemeChoice::Light));
    shoot("talk-dark", full, talked(ThemeChoice::Dark));
    shoot("talk-sun", full, talked(ThemeChoice::Sunlight));
    let brief = |theme, is_final: bool| {
        let mut m = themed(theme);
        let mut b = sample::briefing(1);
        b.is_final = is_final;
        if !is_final {
            b.missing = vec![cairn_actors::api::Missing {
                conversation: sample::everyone(),
                title: "Everyone".into(),
                from: sample::device(1),
                from_name: "Maya Okafor".into(),
                entries: Some(18),
                owed: Some(7),
            }];
        }
        m.apply(Update::Event(Box::new(Event::Briefing(Box::new(b)))));
        m
    };
    let catching_up = |theme| {
        let mut m = themed(theme);
        let told = sample::catch_up(sample::everyone(), 12_400, 87_600);
        m.apply(Update::Event(Box::new(Event::CatchUp(Box::new(told)))));
        m
    };
    shoot("catching-up-light", full, catching_up(ThemeChoice::Light));
    shoot("catching-up-dark", full, catching_up(ThemeChoice::Dark));
    shoot("catching-up-narrow", [600.0, 720.0], catching_up(ThemeChoice::Light));
    shoot("briefing-light", full, brief(ThemeChoice::Light, true));
    shoot("briefing-dark", full, brief(ThemeChoice::Dark, false));
    shoot("briefing-sun", full, brief(ThemeChoice::Sunlight, true));
    shoot("briefing-narrow", [420.0, 720.0], brief(ThemeChoice::Light, true));
    shoot("long-name-light", full, with(light(), vec![Intent::Open(sample::direct(8))]));
    shoot("narrow-1000", [1000.0, 720.0], light());
    shoot("narrow-1000-details", [1000.0, 720.0], with(light(), vec![Intent::ToggleDetails]));
    shoot("narrow-600", [600.0, 720.0], light());
    shoot("narrow-600-list", [600.0, 720.0], with(light(), vec![Intent::Back]));
    shoot("narrow-420-dark", [420.0, 640.0], themed(ThemeChoice::Dark));
    let cjk = "集合时间改为十六点三十分，请各组确认。二号路口积水，车辆绕行，救护车从东门进入。\n了解しました。ありがとうございます。 확인했습니다.\nЁлки, Ελλάδα, Łódź, naïve: alles da 👩‍🚒🚒🇨🇭👍🏽❤️ ✅";
    shoot("composer-tall", full, with(light(), vec![Intent::EditDraft(sample::everyone(), cjk.into())]));
    let mut emoji = light();
    let mut messages = sample::morning();
    for (m, text) in messages.iter_mut().skip(4).zip([
        cjk,
        "😀😃😄😁😆😅🤣😂🙂🙃😉😊 👨‍👩‍👧‍👦 🏔️ 🚁 🔥 ⛑️ 🧯 🗺️ 📡 🔋",
        "https://example.org/a/very/long/address/without/any/place/to/break/it/at/all/0123456789012345678901234567890123456789",
        "fn main() { println!(\"code\"); }",
    ]) {
        m.body = text.into();
    }
    emoji.apply(Update::Page(sample::everyone(), PageAt::Newest, page(messages)));
    shoot("scripts-light", full, emoji);
    let mut emoji_night = themed(ThemeChoice::Night);
    emoji_night.notify("x", "Maya Okafor runs an older version of Cairn.".into(), false);
    shoot("notice-night", full, emoji_night);
    shoot("too-long", full, with(light(), vec![Intent::EditDraft(sample::everyone(), "way too long ".repeat(5_100))]));
    let fresh = |link: LinkState, online: u32| {
        let mut m = Model::new(Preferences { theme: ThemeChoice::Light, ..Preferences::default() });
        let mut s = sample::status();
        (s.named, s.link, s.peers_online) = (false, link, online);
        m.apply(Update::Status(Box::new(s)));
        m
    };
    shoot("first-start", full, fresh(LinkState::Alone, 0));
    shoot("first-start-online", [600.0, 560.0], fresh(LinkState::Online, 2));
    shoot("loading", full, Model::new(Preferences { theme: ThemeChoice::Light, ..Preferences::default() }));
    let alone = |link: LinkState| {
        let mut m = fresh(link, 0);
        m.act(Intent::SetName("Linh".into()));
        m.apply(Update::Networks(vec![sample::network(1, NetworkState::Joined)]));
        let mut line = sample::conversations().remove(0);
        (line.last, line.members, line.here) = (None, 0, 0);
        m.apply(Update::Conversations(vec![line]));
        m
    };
    shoot("alone", full, alone(LinkState::Alone));
    let mut quiet = alone(LinkState::NoNetwork);
    if let Some(s) = &mut quiet.status {
        s.interfaces.clear();
    }
    quiet.act(Intent::Open(sample::everyone()));
    quiet.apply(Update::Page(sample::everyone(), PageAt::Newest, page(Vec::new())));
    shoot("no-network-empty", full, quiet);
    let mut ask = light();
    ask.apply(Update::Event(Box::new(Event::Network(Box::new(sample::network(2, NetworkState::Asking))))));
    ask.notify("name", "Maya Okafor is now called Maya.".into(), false);
    ask.apply(Update::Failed(ApiError::new("slow", "The disk is slow: messages wait to be saved.")));
    shoot("ask-light", full, ask);
    let mut ask = with(themed(ThemeChoice::Dark), vec![Intent::Show(View::Network)]);
    ask.apply(Update::Networks(vec![
        sample::network(1, NetworkState::Joined),
        sample::network(2, NetworkState::Asking),
        sample::network(3, NetworkState::Apart),
    ]));
    shoot("network-dark", full, ask);
    shoot("network-light", full, with(light(), vec![Intent::Show(View::Network)]));
    shoot("settings-light", full, with(light(), vec![Intent::Show(View::Settings)]));
    shoot("settings-sun", [900.0, 800.0], with(themed(ThemeChoice::Sunlight), vec![Intent::Show(View::Settings)]));
    shoot("people-light", full, with(light(), vec![Intent::Show(View::People)]));
    shoot("palette-light", full, with(light(), vec![Intent::TogglePalette]));
    shoot(
        "palette-dark",
        full,
        with(themed(ThemeChoice::Dark), vec![Intent::TogglePalette, Intent::PaletteQuery("co".into())]),
    );
    shoot("search-nothing", full, with(light(), vec![Intent::Search("zeppelin".into())]));
    let mut broken = light();
    broken.act(Intent::Open(sample::direct(4)));
    broken.apply(Update::Page(
        sample::direct(4),
        PageAt::Newest,
        Err(ApiError::new("store", "The store could not be read: sector 41 is damaged.")),
    ));
    if let Some(s) = &mut broken.status {
        s.troubles.push("The disk is full: nothing can be saved until there is room".into());
    }
    if let Some(p) = broken.peers.get_mut(&sample::device(4)) {
        p.state = PeerState::Offline;
    }
    shoot("error-light", full, broken);
    shoot("long-history", full, {
        let mut m = sample::long_model(100_000);
        m.preferences.theme = ThemeChoice::Light;
        m
    });
}
