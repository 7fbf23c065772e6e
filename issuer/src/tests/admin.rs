//! The admin page at the level of HTTP: who gets in, what a form needs, what a browser is told, and that no text of
//! anybody becomes HTML.

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use scrip_protocol::keys::SigningKey;
use tower::ServiceExt;

use super::support::*;
use crate::{
    Issuer,
    admin::{access, token::AdminToken},
    testing::{Setup, TestIssuer},
};

/// What a page says besides its text.
struct Page {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Page {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the cookie whose name ends so.
    fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.get_all(header::SET_COOKIE).into_iter();
        let mut set = set.map(|value| value.to_str().unwrap().split(';').next().unwrap());
        set.find_map(|pair| pair.split_once('=').filter(|(key, _)| key.ends_with(name)))
            .map(|(_, value)| value.to_owned())
            .filter(|value| !value.is_empty())
    }

    fn form_token(&self) -> &str {
        let (_, rest) = self.text.split_once("name=\"form_token\" value=\"").expect("a form");
        rest.split('"').next().unwrap()
    }
}

/// A browser without scripts: it keeps its two cookies and sends forms.
#[derive(Default)]
struct Browser {
    session: Option<String>,
    login: Option<String>,
}

impl Browser {
    async fn send(
        &mut self,
        issuer: &Issuer,
        request: http::request::Builder,
        body: String,
    ) -> Page {
        let cookies = [("scrip-admin", &self.session), ("scrip-login", &self.login)];
        let cookies =
            cookies.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let request = request.header(header::COOKIE, cookies).body(Body::from(body)).unwrap();
        let page = Page::of(issuer.router().oneshot(request).await.unwrap()).await;
        if let Some(session) = page.cookie("scrip-admin") {
            self.session = Some(session);
        }
        if let Some(login) = page.cookie("scrip-login") {
            self.login = Some(login);
        }
        page
    }

    async fn get(&mut self, issuer: &Issuer, path: &str) -> Page {
        self.send(issuer, Request::builder().uri(path), String::new()).await
    }

    async fn post(&mut self, issuer: &Issuer, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(issuer, request, body).await
    }

    /// Logs in through the form.
    async fn log_in(&mut self, issuer: &Issuer, token: &str) -> Page {
        let form_token = self.get(issuer, "/admin/login").await.form_token().to_owned();
        self.post(issuer, "/admin/login", &[("form_token", &form_token), ("token", token)]).await
    }

    /// One who is logged in.
    async fn inside(issuer: &Issuer) -> Self {
        let mut browser = Self::default();
        let token = token(issuer, "ada").await.to_string();
        assert_eq!(browser.log_in(issuer, &token).await.status, StatusCode::SEE_OTHER);
        browser
    }
}

async fn token(issuer: &Issuer, name: &str) -> AdminToken {
    let now = issuer.inner.clock.now();
    access::create_token(issuer.store(), name, 30, now, &mut &mut *(issuer.inner.rng)())
        .await
        .unwrap()
        .0
}

async fn actions(issuer: &Issuer) -> Vec<(String, String, String)> {
    let log = issuer.store().admin_log(None, 100).await.unwrap();
    log.into_iter().rev().map(|entry| (entry.actor, entry.action, entry.subject)).collect()
}

const PAGES: [&str; 7] = [
    "/admin",
    "/admin/sales",
    "/admin/credits",
    "/admin/operators",
    "/admin/vouchers",
    "/admin/keys",
    "/admin/log",
];

#[tokio::test]
async fn the_page_is_off_until_there_is_a_token_that_is_good() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut browser = Browser::default();
    for path in ["/admin", "/admin/login", "/admin/log", "/admin/x"] {
        let page = browser.get(issuer, path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.text.contains("<code>scrip-issuer admin token create</code>"), "{path}");
    }
    drop(token(issuer, "ada").await);
    assert_eq!(browser.get(issuer, "/admin").await.header(header::LOCATION), "/admin/login");
    assert_eq!(browser.get(issuer, "/admin/login").await.status, StatusCode::OK);
    vendor.clock.advance(31 * 86_400);
    assert_eq!(browser.get(issuer, "/admin/login").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_opens_a_session_on_every_issuer_and_logging_out_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let (one, two) = (setup.init().await.unwrap(), setup.open().await.unwrap());
    let mut browser = Browser::inside(&one.issuer).await;
    for path in PAGES {
        for issuer in [&one.issuer, &two.issuer] {
            assert_eq!(browser.get(issuer, path).await.status, StatusCode::OK, "{path}");
        }
        let stranger = Browser::default().get(&one.issuer, path).await;
        assert_eq!(stranger.header(header::LOCATION), "/admin/login", "{path}");
    }
    let form_token = browser.get(&one.issuer, "/admin").await.form_token().to_owned();
    let out = browser.post(&two.issuer, "/admin/logout", &[("form_token", &form_token)]).await;
    assert_eq!(out.header(header::LOCATION), "/admin/login");
    let page = browser.get(&one.issuer, "/admin").await; // the cookie was kept
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let expected = [("command line", "admin token create", "ada"), ("ada", "login", "")];
    let expected = expected.map(|(a, b, c)| (a.into(), b.into(), c.into()));
    assert_eq!(actions(&one.issuer).await, expected);
}

#[tokio::test]
async fn sessions_end_when_idle_when_old_and_with_their_token() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut browser = Browser::inside(issuer).await;
    let mut status = async |path| browser.get(issuer, path).await.status;
    vendor.clock.advance(3_599);
    assert_eq!(status("/admin").await, StatusCode::OK);
    vendor.clock.advance(3_599);
    assert_eq!(status("/admin").await, StatusCode::OK, "it was seen meanwhile");
    vendor.clock.advance(3_600);
    assert_eq!(status("/admin").await, StatusCode::SEE_OTHER, "idle");

    let token = token(issuer, "bob").await.to_string();
    let mut browser = Browser::default();
    browser.log_in(issuer, &token).await;
    for hour in 0..12 {
        assert_eq!(browser.get(issuer, "/admin").await.status, StatusCode::OK, "hour {hour}");
        vendor.clock.advance(3_599);
    }
    vendor.clock.advance(12);
    assert_eq!(browser.get(issuer, "/admin").await.status, StatusCode::SEE_OTHER, "old");

    browser.log_in(issuer, &token).await;
    assert_eq!(browser.get(issuer, "/admin").await.status, StatusCode::OK);
    access::revoke_token(issuer.store(), "bob", issuer.inner.clock.now()).await.unwrap();
    assert_eq!(browser.get(issuer, "/admin").await.status, StatusCode::SEE_OTHER, "revoked");
    assert_eq!(browser.log_in(issuer, &token).await.status, StatusCode::UNAUTHORIZED);
    assert!(access::revoke_token(issuer.store(), "eve", issuer.inner.clock.now()).await.is_err());
}

#[tokio::test]
async fn guesses_are_limited_and_tell_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let good = token(issuer, "ada").await.to_string();
    let mut browser = Browser::default();
    let other = AdminToken::generate(&mut rng(1)).to_string();
    for guess in ["", "x", &other, "scrip-admin-", &good[..20]] {
        let page = browser.log_in(issuer, guess).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{guess}");
        assert!(page.text.contains("This token is not good."), "{guess}");
        assert!(browser.session.is_none());
    }
    for _ in 0..5 {
        browser.log_in(issuer, "x").await;
    }
    let page = browser.log_in(issuer, &good).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(browser.session.is_none());
    vendor.clock.advance(6);
    assert_eq!(browser.log_in(issuer, &good).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn forms_of_other_pages_and_sessions_do_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut browser = Browser::inside(issuer).await;
    let mut other = Browser::default();
    let second = token(issuer, "bob").await.to_string();
    other.log_in(issuer, &second).await;
    let foreign = other.get(issuer, "/admin").await.form_token().to_owned();
    let key = SigningKey::from_seed(&[1; 32]).public().to_string();
    let fields = |form_token| [("form_token", form_token), ("name", "one"), ("key", key.as_str())];
    let before = (issuer.operators().await.unwrap(), actions(issuer).await);
    for path in ["/admin/operators", "/admin/logout", "/admin/login"] {
        browser.login = Some("A".repeat(43));
        for bad in ["", "x", foreign.as_str()] {
            let page = browser.post(issuer, path, &fields(bad)).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} {bad}");
        }
    }
    let mine = browser.get(issuer, "/admin").await.form_token().to_owned();
    let cross_site = Request::post("/admin/operators")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site");
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields(&mine)).finish();
    let page = browser.send(issuer, cross_site, body.clone()).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let as_text = Request::post("/admin/operators").header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(browser.send(issuer, as_text, body).await.status, StatusCode::BAD_REQUEST);
    let long = "x".repeat(17_000);
    let fields_too_long = [("form_token", mine.as_str()), ("name", long.as_str())];
    let page = browser.post(issuer, "/admin/operators", &fields_too_long).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert_eq!((issuer.operators().await.unwrap(), actions(issuer).await), before);

    let page = browser.post(issuer, "/admin/operators", &fields(&mine)).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let shown = browser.get(issuer, page.header(header::LOCATION)).await;
    assert!(shown.text.contains("<strong>one</strong> is added"), "{}", shown.text);
    let last = actions(issuer).await.pop().unwrap();
    assert_eq!(last, ("ada".into(), "operator add".into(), "one".into()));
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_trust_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut browser = Browser::inside(issuer).await;
    let style = browser.get(issuer, "/admin").await;
    let (_, style) = style.text.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let style = style.split('"').next().unwrap().to_owned();
    for path in PAGES.iter().copied().chain(["/admin/nothing", &style]) {
        let page = browser.get(issuer, path).await;
        assert_eq!(
            page.header(header::CONTENT_SECURITY_POLICY),
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
            "{path}"
        );
        assert_eq!(page.header(header::REFERRER_POLICY), "no-referrer");
        assert_eq!(page.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(page.header(header::STRICT_TRANSPORT_SECURITY), "", "there is no TLS here");
        let kept = if path == style { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(page.header(header::CACHE_CONTROL), kept, "{path}");
        for word in ["<script", " style=", " onclick", "javascript:", "http://", "https://"] {
            let text = page.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}

#[tokio::test]
async fn over_tls_cookies_and_browsers_stay_with_tls() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.config.behind_tls_proxy = true;
    let vendor = setup.init().await.unwrap();
    drop(token(&vendor.issuer, "ada").await);
    let page = Browser::default().get(&vendor.issuer, "/admin/login").await;
    let cookie = page.header(header::SET_COOKIE);
    assert!(cookie.starts_with("__Host-scrip-login=") && cookie.ends_with("; Secure"), "{cookie}");
    assert_eq!(page.header(header::STRICT_TRANSPORT_SECURITY), "max-age=31536000");
}

/// Whoever makes an operator or a product chooses its name; it is text, wherever it is shown.
#[tokio::test]
async fn names_are_text() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut browser = Browser::inside(issuer).await;
    let hostile = "</td><script>alert(1)</script>\"' onmouseover=x &amp;";
    let form_token = browser.get(issuer, "/admin").await.form_token().to_owned();
    let key = SigningKey::from_seed(&[1; 32]).public().to_string();
    for key in ["\"><img src=x>", &key] {
        let fields = [("form_token", form_token.as_str()), ("name", hostile), ("key", key)];
        let page = browser.post(issuer, "/admin/operators", &fields).await;
        assert!(!page.text.contains("<img") && !page.text.contains("<script"), "{}", page.text);
    }
    for path in PAGES {
        let page = browser.get(issuer, path).await;
        assert!(!page.text.contains("<script") && !page.text.contains("\"' on"), "{path}");
        let shown = ["/admin", "/admin/operators", "/admin/log"].contains(&path);
        let escaped = "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;";
        assert_eq!(page.text.contains(escaped), shown, "{path}");
    }
}

#[tokio::test]
async fn what_was_decided_is_counted_by_operator_and_day() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let certificates = Wallet::new(1).buy(issuer).await;
    let (mut one, mut two) = (Operator::new(&vendor, 1).await, Operator::new(&vendor, 2).await);
    let items: Vec<_> = certificates.iter().map(|c| one.item(&vendor, c, 1)).collect();
    vendor.clock.advance(3 * 86_400);
    one.redeem(&vendor, items.clone()).await;
    one.redeem(&vendor, items[..2].to_vec()).await;
    let again = certificates[..3].iter().map(|c| two.item(&vendor, c, 1)).collect();
    two.redeem(&vendor, again).await;
    let counted = issuer.store().outcomes_from(today(&vendor)).await.unwrap();
    let counts: Vec<_> = counted.iter().map(|day| day.counts).collect();
    assert_eq!((counts[0].batches, counts[0].accepted, counts[0].repeated), (2, 7, 2));
    assert_eq!((counts[0].days_waited, counts[0].longest_wait), (21, 3));
    assert_eq!((counts[1].batches, counts[1].accepted, counts[1].double_spent), (1, 0, 3));
    let mut browser = Browser::inside(issuer).await;
    let page = browser.get(issuer, "/admin/operators").await.text;
    assert!(page.contains("100.0 % (3)") && page.contains("3.0 d"), "{page}");
}

/// The codes are in one answer and nowhere else; the form sent again makes nothing.
#[tokio::test]
async fn vouchers_are_made_once_and_shown_once() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut browser = Browser::inside(issuer).await;
    let page = browser.get(issuer, "/admin/vouchers").await;
    let form_token = page.form_token().to_owned();
    let (_, nonce) = page.text.split_once("name=\"nonce\" value=\"").unwrap();
    let nonce = nonce.split('"').next().unwrap().to_owned();
    let form = |nonce: &str, count: &str, format: &str| {
        let fields = [
            ("form_token", form_token.as_str()),
            ("nonce", nonce),
            ("product", "starter"),
            ("count", count),
            ("valid_days", "30"),
            ("format", format),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let mut send = async |fields: [(String, String); 6]| {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post(issuer, "/admin/vouchers", &fields).await
    };
    for count in ["0", "1001", "x", "", "-1"] {
        let page = send(form(&nonce, count, "page")).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{count}");
        assert!(page.text.contains("from 1 to 1000 vouchers"), "{}", page.text);
    }
    assert_eq!(send(form("x", "1", "page")).await.status, StatusCode::BAD_REQUEST);

    let made = send(form(&nonce, "3", "page")).await;
    assert_eq!((made.status, made.header(header::LOCATION)), (StatusCode::OK, ""));
    let (_, codes) = made.text.split_once("<textarea").unwrap();
    let codes = codes.split_once('>').unwrap().1.split_once('<').unwrap().0;
    let codes: Vec<&str> = codes.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(codes.len(), 3);
    let again = send(form(&nonce, "3", "page")).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(again.text.contains("made before, as batch 1") && !again.text.contains(codes[0]));
    let wallet = Wallet::new(1);
    let secret = wallet.secret(issuer, 0);
    assert_eq!(use_voucher(issuer, Some(&secret), codes[0]).await.status, 200);

    let csv = send(form(&"ab".repeat(16), "2", "csv")).await;
    assert_eq!(csv.header(header::CONTENT_TYPE), "text/csv; charset=utf-8");
    assert_eq!(csv.header(header::CONTENT_DISPOSITION), "attachment; filename=\"vouchers-2.csv\"");
    assert_eq!(csv.header(header::CACHE_CONTROL), "no-store");
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert_eq!((lines[0], lines.len()), ("code,product,credits,last_day", 4));
    assert!(lines[1].contains(",\"starter\",12,2026-"), "{}", lines[1]);

    let fields = [("form_token", form_token.as_str()), ("batch", "1")];
    let cancelled = browser.post(issuer, "/admin/vouchers/cancel", &fields).await;
    let page = browser.get(issuer, cancelled.header(header::LOCATION)).await;
    assert!(page.text.contains("2 vouchers of batch 1 are cancelled."), "{}", page.text);
    assert!(page.text.contains("1 of 3") && page.text.contains("0 of 2"));
    let late = use_voucher(issuer, Some(&wallet.secret(issuer, 1)), codes[1]).await;
    assert_eq!(late.problem(), scrip_protocol::problem::ProblemType::VoucherExpired);
    assert_eq!(
        use_voucher(issuer, Some(&secret), codes[0]).await.status,
        200,
        "it was used before"
    );
    let log = actions(issuer).await;
    let done: Vec<&str> = log[2..].iter().map(|(_, action, _)| action.as_str()).collect();
    assert_eq!(done, ["voucher create", "voucher create", "voucher cancel"]);
    assert!(log[2..].iter().all(|(actor, _, _)| actor == "ada"), "{log:?}");
    for table in database(issuer).await.into_values().flatten().flatten() {
        let cell = table.1.unwrap_or_default();
        assert!(!codes.iter().any(|code| cell == code.as_bytes()), "a code is stored");
    }
}

#[tokio::test]
async fn a_refund_by_hand_is_logged_with_who_did_it() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let code = voucher(issuer, "starter").await;
    let secret = Wallet::new(1).secret(issuer, 0);
    use_voucher(issuer, Some(&secret), &code).await;
    let hash = code.parse::<crate::vouchers::VoucherCode>().unwrap().hash();
    let (store, now) = (issuer.store(), issuer.inner.clock.now());
    let bought = crate::sources::TransactionId::new(hash);
    let refund = async |refunded| store.refund("voucher", &bought, refunded, "ada", now).await;
    for (refunded, outcome) in [(true, "Cancelled"), (true, "Nothing"), (false, "Cancelled")] {
        assert_eq!(format!("{:?}", refund(refunded).await.unwrap()), outcome);
    }
    let log: Vec<_> = actions(issuer).await.split_off(1);
    let done: Vec<_> = log.iter().map(|(who, what, _)| (who.as_str(), what.as_str())).collect();
    assert_eq!(done, [("ada", "refund"), ("ada", "refund reverse")]);
}
