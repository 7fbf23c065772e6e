//! A real browser without scripts, driven over the DevTools protocol: JSON with a zero byte after each message, on two pipes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use scrip_tests::Failure;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAMS: [&str; 3] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
];

/// Where the browser is. Without one, a test says so and passes, unless `SCRIP_REQUIRE_CHROMIUM` is set.
pub(crate) fn program() -> Option<&'static str> {
    let found = PROGRAMS.into_iter().find(|program| Path::new(program).exists());
    let required = std::env::var_os("SCRIP_REQUIRE_CHROMIUM").is_some();
    assert!(found.is_some() || !required, "there is no Chromium; install the package `chromium`");
    if found.is_none() {
        eprintln!("skipped: there is no Chromium (set SCRIP_REQUIRE_CHROMIUM=1 to fail instead)");
    }
    found
}

/// A window of a running browser.
pub(crate) struct Browser {
    // Killed when it is dropped.
    _process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    last_id: u64,
    /// What the browser complained of: violations of the policy, scripts, things that were not found.
    pub(crate) complaints: Vec<String>,
    loads: usize,
}

impl Browser {
    /// Starts a browser with an empty profile in `profile`, and opens a window in which nothing scripted runs.
    pub(crate) async fn start(program: &str, profile: &Path) -> Result<Self, Failure> {
        // The protocol wants descriptors 3 and 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", program])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let to = process.stdin.take().ok_or("no pipe to the browser")?;
        let from = BufReader::new(process.stdout.take().ok_or("no pipe from the browser")?);
        let session = String::new();
        let (complaints, loads) = (Vec::new(), 0);
        let mut browser =
            Self { _process: process, to, from, session, last_id: 0, complaints, loads };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await?;
        browser.session = attached["sessionId"].as_str().ok_or("no session")?.to_owned();
        for domain in ["Page", "Runtime", "Log", "Audits", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await?;
        }
        browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await?;
        Ok(browser)
    }

    /// Calls a method and returns its result.
    pub(crate) async fn call(&mut self, method: &str, parameters: Value) -> Result<Value, Failure> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to.write_all(&bytes).await?;
        loop {
            let answer = self.next().await?;
            if answer["id"] == json!(id) {
                return match answer.get("error") {
                    Some(error) => Err(format!("{method}: {error}").into()),
                    None => Ok(answer["result"].clone()),
                };
            }
        }
    }

    /// The next message; events are noted on the way.
    async fn next(&mut self) -> Result<Value, Failure> {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.from.read_until(0, &mut bytes)).await;
        if read.map_err(|_| "the browser does not answer")?? == 0 {
            return Err("the browser has gone".into());
        }
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes)?;
        let entry = &message["params"]["entry"];
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.loads += 1,
            // Refused forms are answered with a status that the browser reports as an error, as it should.
            "Log.entryAdded" if entry["source"] != "network" => {
                self.complaints.push(entry["text"].to_string());
            }
            "Audits.issueAdded" | "Runtime.exceptionThrown" => {
                self.complaints.push(message["params"].to_string());
            }
            _ => {}
        }
        Ok(message)
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn open(&mut self, url: &str) -> Result<(), Failure> {
        let loads = self.loads;
        self.call("Page.navigate", json!({ "url": url })).await?;
        self.wait_for_load(loads).await
    }

    async fn wait_for_load(&mut self, loads: usize) -> Result<(), Failure> {
        while self.loads == loads {
            self.next().await?;
        }
        Ok(())
    }

    /// What an expression is, asked of the page from outside.
    pub(crate) async fn ask(&mut self, expression: &str) -> Result<Value, Failure> {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked).await?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(format!("{expression}: {details}").into()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The text that is shown.
    pub(crate) async fn text(&mut self) -> Result<String, Failure> {
        Ok(self.ask("document.body.innerText").await?.as_str().unwrap_or_default().to_owned())
    }

    /// Types into the field that a selector finds, in the place of what is there.
    pub(crate) async fn type_into(&mut self, selector: &str, text: &str) -> Result<(), Failure> {
        let focus = format!("(e => {{ e.focus(); e.select && e.select() }})({})", find(selector));
        self.ask(&focus).await?;
        self.call("Input.insertText", json!({ "text": text })).await?;
        Ok(())
    }

    /// Clicks on what a selector finds, with the mouse.
    pub(crate) async fn click(&mut self, selector: &str) -> Result<(), Failure> {
        let element = find(selector);
        let place = format!(
            "(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2] }})({element})"
        );
        let place = self.ask(&place).await?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Clicks on a link or button that leads to a page, and waits for it.
    pub(crate) async fn follow(&mut self, selector: &str) -> Result<(), Failure> {
        let loads = self.loads;
        self.click(selector).await?;
        self.wait_for_load(loads).await
    }

    /// Keeps what is downloaded in a folder.
    pub(crate) async fn keeps_downloads_in(&mut self, folder: &Path) -> Result<(), Failure> {
        let kept = json!({ "behavior": "allow", "downloadPath": folder });
        self.call("Browser.setDownloadBehavior", kept).await?;
        Ok(())
    }

    /// Clicks on what a selector finds, and reads the file that is downloaded then.
    pub(crate) async fn download(
        &mut self,
        selector: &str,
        file: &Path,
    ) -> Result<String, Failure> {
        self.click(selector).await?;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The browser gives the file its name when it is whole.
            if let Ok(text) = std::fs::read_to_string(file) {
                return Ok(text);
            }
        }
        Err(format!("{} was not downloaded", file.display()).into())
    }

    /// Makes the window this wide, with light or dark colours.
    pub(crate) async fn look(&mut self, width: u32, dark: bool) -> Result<(), Failure> {
        let phone = width < 500;
        let height = if phone { 844 } else { 900 };
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await?;
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await?;
        Ok(())
    }

    /// Shows the page as it is printed, or as on a screen again.
    pub(crate) async fn print_look(&mut self, printed: bool) -> Result<(), Failure> {
        let media = if printed { "print" } else { "" };
        self.call("Emulation.setEmulatedMedia", json!({ "media": media })).await.map(drop)
    }

    /// A picture of the whole page, as PNG.
    pub(crate) async fn picture(&mut self) -> Result<Vec<u8>, Failure> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", whole).await?;
        let data = picture["data"].as_str().ok_or("no picture")?;
        Ok(data_encoding::BASE64.decode(data.as_bytes())?)
    }
}

fn find(selector: &str) -> String {
    format!("document.querySelector({})", Value::from(selector))
}
