//! The admin page in a real browser that runs no script: somebody logs in, looks around on a desktop and on a phone, adds an operator, makes vouchers that a
//! wallet can use, and logs out. Nothing is wider than the screen, and the browser has nothing to complain of.
//!
//! With `SCRIP_SCREENSHOTS=FOLDER` every page is left there as a picture, for people to look at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod business;

use std::path::{Path, PathBuf};

use scrip_issuer::admin::access;
use scrip_issuer::admin::token::AdminToken;
use scrip_runtime::clock::Clock;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use serde_json::json;

use browser::Browser;

const DESKTOP: u32 = 1_280;
const PHONE: u32 = 390;

/// Whoever looks at the page.
struct Somebody {
    browser: Browser,
    origin: String,
    pictures: Option<PathBuf>,
    downloads: PathBuf,
}

impl Somebody {
    async fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.browser.open(&url).await.unwrap();
    }

    async fn path(&mut self) -> String {
        let path = self.browser.ask("location.pathname + location.search").await.unwrap();
        path.as_str().unwrap().to_owned()
    }

    async fn logs_in(&mut self, token: &AdminToken) {
        self.open("/admin/login").await;
        self.browser.type_into("#token", &token.to_string()).await.unwrap();
        self.browser.follow("button").await.unwrap();
        assert_eq!(self.path().await, "/admin");
    }

    async fn sees(&mut self, words: &str) {
        let text = self.browser.text().await.unwrap();
        assert!(text.contains(words), "no {words:?} in {text}");
    }

    /// Looks at the present page on a desktop and a phone, by day and by night.
    async fn looks(&mut self, name: &str) {
        for (width, dark) in [(DESKTOP, true), (PHONE, true), (PHONE, false), (DESKTOP, false)] {
            self.browser.look(width, dark).await.unwrap();
            let wide = self.browser.ask("document.documentElement.scrollWidth").await.unwrap();
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{name} is {wide} wide on {width}");
            if let Some(folder) = &self.pictures {
                let mode = if dark { "dark" } else { "light" };
                let file = folder.join(format!("{name}-{width}-{mode}.png"));
                std::fs::write(file, self.browser.picture().await.unwrap()).unwrap();
            }
        }
        let fonts = self.browser.ask("getComputedStyle(document.body).margin").await.unwrap();
        assert_eq!(fonts, json!("0px"), "the style sheet is in use");
    }
}

fn pictures() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("SCRIP_SCREENSHOTS")?);
    std::fs::create_dir_all(&folder).unwrap();
    Some(folder)
}

const PAGES: [&str; 8] =
    ["", "/sales", "/credits", "/operators", "/statements", "/vouchers", "/keys", "/log"];

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_is_run_from_a_browser_without_scripts() {
    let Some(program) = browser::program() else { return };
    let network = Network::planned(Plan { relays: 0, ..Plan::default() }).await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let profile: &Path = &network.dir().join("chromium");
    let mut somebody = Somebody {
        browser: Browser::start(program, profile).await.unwrap(),
        origin: format!("http://{}", network.vendor.listens_at()),
        pictures: pictures(),
        downloads: network.dir().join("downloads"),
    };
    std::fs::create_dir(&somebody.downloads).unwrap();
    somebody.browser.keeps_downloads_in(&somebody.downloads).await.unwrap();

    somebody.open("/admin").await;
    somebody.sees("scrip-issuer admin token create").await;
    somebody.looks("off").await;

    let now = network.clock.now();
    let mut rng = rand_core::OsRng;
    let (token, _) = access::create_token(issuer.store(), "ada", 300, now, &mut rng).await.unwrap();
    somebody.open("/admin/keys").await;
    assert_eq!(somebody.path().await, "/admin/login");
    somebody.browser.type_into("#token", "scrip-admin-no").await.unwrap();
    somebody.browser.follow("button").await.unwrap();
    somebody.sees("This token is not good").await;
    somebody.looks("login").await;
    somebody.logs_in(&token).await;
    for page in PAGES {
        somebody.open(&format!("/admin{page}")).await;
        somebody.looks(&format!("empty{}", page.replace('/', "-"))).await;
    }

    adds_an_operator(&mut somebody).await;
    let code = makes_vouchers(&mut somebody).await;
    let wallet = network.wallet("bob").await.unwrap();
    let bought = wallet.buy(&code).await;
    assert!(bought.is_ok(), "{:?}", bought.err());
    assert_eq!(wallet.balance().await.unwrap().spendable.0, PRODUCT_CREDITS);
    cancels_the_rest(&mut somebody).await;
    somebody.browser.follow("form.out button").await.unwrap();
    assert_eq!(somebody.path().await, "/admin/login");
    somebody.open("/admin/log").await;
    assert_eq!(somebody.path().await, "/admin/login", "logged out");

    business::happens(&network).await;
    somebody.logs_in(&token).await;
    somebody.sees("The source google failed 14 times").await;
    somebody
        .sees("certificates that nordlicht e. V. brought lately had been spent elsewhere")
        .await;
    for page in PAGES {
        somebody.browser.follow(&format!("nav a[href='/admin{page}']")).await.unwrap();
        assert_eq!(somebody.path().await, format!("/admin{page}"));
        somebody.looks(&format!("busy{}", page.replace('/', "-"))).await;
    }
    reads_a_statement(&mut somebody).await;
    assert!(somebody.browser.complaints.is_empty(), "{:#?}", somebody.browser.complaints);
}

/// The newest statement of an operator that earns, on the screen and as it is printed, and one of an operator that pays.
async fn reads_a_statement(somebody: &mut Somebody) {
    somebody.browser.follow("nav a[href='/admin/statements']").await.unwrap();
    somebody.sees("1 adjustment waits for the next one").await;
    somebody.browser.follow("main table a").await.unwrap();
    for words in [
        "Statement 2",
        "Aurora Relays",
        "The vendor pays",
        "926.63353",
        "a fan of <their> rack",
        "Comes to",
    ] {
        somebody.sees(words).await;
    }
    somebody.looks("statement").await;
    somebody.browser.print_look(true).await.unwrap();
    if let Some(folder) = &somebody.pictures {
        std::fs::write(
            folder.join("statement-print.png"),
            somebody.browser.picture().await.unwrap(),
        )
        .unwrap();
    }
    let hidden =
        somebody.browser.ask("getComputedStyle(document.querySelector('nav')).display").await;
    assert_eq!(hidden.unwrap(), json!("none"), "the links are not printed");
    somebody.browser.print_look(false).await.unwrap();
    somebody.browser.follow("main p a").await.unwrap();
    somebody.browser.follow("section:nth-of-type(2) table a").await.unwrap();
    somebody.sees("The operator pays").await;
    somebody.looks("statement-paid").await;
    somebody.open("/admin/statements/nobody/1").await;
    somebody.sees("There is no such page").await;
}

async fn adds_an_operator(somebody: &mut Somebody) {
    let key = scrip_protocol::keys::SigningKey::from_seed(&[9; 32]).public().to_string();
    let name = "<b>Nadir & Sons</b> \"relays\"";
    somebody.browser.follow("nav a[href='/admin/operators']").await.unwrap();
    somebody.browser.type_into("#name", name).await.unwrap();
    somebody.browser.type_into("#key", "not a key").await.unwrap();
    somebody.browser.follow("#add button").await.unwrap();
    somebody.sees("Not added").await;
    somebody.looks("operator-refused").await;
    somebody.browser.type_into("#key", &key).await.unwrap();
    somebody.browser.follow("#add button").await.unwrap();
    somebody.sees(&format!("{name} is added")).await;
    assert!(
        somebody.path().await.starts_with("/admin/operators?added="),
        "loading again adds nothing"
    );
    assert_eq!(
        somebody.browser.ask("document.querySelectorAll('b').length").await.unwrap(),
        json!(0)
    );
}

/// Makes three vouchers and returns a code, as somebody reads it from the page.
async fn makes_vouchers(somebody: &mut Somebody) -> String {
    somebody.browser.follow("nav a[href='/admin/vouchers']").await.unwrap();
    somebody.browser.type_into("#count", "3").await.unwrap();
    somebody.browser.follow("button[value=page]").await.unwrap();
    somebody.sees("shown this once").await;
    somebody.looks("vouchers-made").await;
    let codes = somebody.browser.ask("document.querySelector('#codes').value").await.unwrap();
    let codes: Vec<String> = codes.as_str().unwrap().lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), 3);
    let file = somebody.downloads.join("vouchers-1.csv");
    let csv = somebody.browser.download("a[download]", &file).await.unwrap();
    assert!(
        codes.iter().all(|code| csv.contains(&format!("{code},\"{PRODUCT}\",{PRODUCT_CREDITS},"))),
        "{csv}"
    );
    codes[0].clone()
}

async fn cancels_the_rest(somebody: &mut Somebody) {
    somebody.browser.follow("nav a[href='/admin/vouchers']").await.unwrap();
    somebody.sees("1 of 3").await;
    somebody.browser.click(".step summary").await.unwrap();
    somebody.looks("vouchers-cancel").await;
    somebody.browser.follow(".step button").await.unwrap();
    somebody.sees("2 vouchers of batch 1 are cancelled").await;

    let file = somebody.downloads.join("vouchers-2.csv");
    let csv = somebody.browser.download("button[value=csv]", &file).await.unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    // The form that is still shown has made its batch.
    somebody.browser.follow("button[value=page]").await.unwrap();
    somebody.sees("made before, as batch 2").await;
}
