//! The page in a real browser, wide and as narrow as a phone, light and dark. Skipped with a loud word where there is no Chromium.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::support::{Watch, variable};

/// A browser that is driven by `chromedriver` and ends with the test.
struct Browser {
    driver: Child,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("curl")
            .args(["-s", "-X", "DELETE", &self.session])
            .output();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn ask(url: &str, body: &Value) -> Value {
    let output = Command::new("curl")
        .args([
            "-s",
            "--max-time",
            "60",
            "-H",
            "Content-Type: application/json",
            "-d",
            &body.to_string(),
            url,
        ])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

impl Browser {
    fn start(width: u32) -> Option<Self> {
        let found = |program: &str| {
            Command::new(program)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        };
        if !["chromedriver", "chromium", "curl"].into_iter().all(found) {
            eprintln!("SKIPPED: no Chromium (Debian: chromium, chromium-driver, curl), so the page was not looked at");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": 900, "pixelRatio": 1.0}},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}});
        let url = format!("http://127.0.0.1:{port}/session");
        let session = (0..100).find_map(|_| {
            let id = ask(&url, &wanted)["value"]["sessionId"].as_str().map(str::to_owned);
            if id.is_none() {
                sleep(Duration::from_millis(200));
            }
            id
        });
        let Some(id) = session else {
            let _ = driver.kill();
            let _ = driver.wait();
            panic!("no session with chromedriver");
        };
        Some(Self {
            session: format!("{url}/{id}"),
            driver,
        })
    }

    fn open(&self, url: &str) {
        ask(&format!("{}/url", self.session), &json!({"url": url}));
    }

    fn script(&self, script: &str) -> Value {
        ask(
            &format!("{}/execute/sync", self.session),
            &json!({"script": script, "args": []}),
        )["value"]
            .clone()
    }

    /// Keeps a picture where `BATCH_INFER_SHOTS` says.
    fn keep(&self, name: &str) {
        let Some(folder) = variable("BATCH_INFER_SHOTS") else {
            return;
        };
        let output = Command::new("curl")
            .args(["-s", &format!("{}/screenshot", self.session)])
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let picture = base64::engine::general_purpose::STANDARD
            .decode(answer["value"].as_str().unwrap())
            .unwrap();
        std::fs::write(format!("{folder}/{name}.png"), picture).unwrap();
    }
}

#[test]
fn page_shows_jobs_and_reports_at_any_width() {
    let watch = Watch::at("2026-11-20T00:59:57Z").job("fraud-nightly", "0 2 * * *", "Europe/Berlin", -1, "");
    let watch = watch
        .job(
            "churn-weekly-with-a-long-name-for-narrow-screens",
            "0 3 * * MON",
            "America/Argentina/Buenos_Aires",
            -1,
            "",
        )
        .job("no-input", "0 2 * * *", "UTC", 3, "reconcile_days = 0")
        .input("2026-11-16", "2026-11-20")
        .started();
    watch.set_clock("2026-11-20T00:59:58Z", 600.0);
    watch.until("three publications", |watch| {
        (watch.published("fraud-nightly").len() >= 3).then_some(())
    });
    watch.set_clock("2026-11-20T12:00:00Z", 60.0);
    watch.until("a failure", |watch| {
        let job = watch.of_job("no-input");
        (watch.runs("no-input").len() >= 4 && job["waiting"] == json!([])).then_some(())
    });
    watch.set_clock("2026-11-20T18:00:00Z", 1.0);
    for (width, name) in [(1_280, "wide"), (390, "narrow")] {
        let Some(browser) = Browser::start(width) else {
            return;
        };
        browser.open(&watch.url());
        let text = browser.script("return document.body.innerText");
        let text = text.as_str().unwrap_or_default();
        for part in [
            "fraud-nightly",
            "churn-weekly",
            "no-input",
            "Europe/Berlin",
            "2026-11-19",
            "published",
            "failed, exit code",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        let wide = browser.script("return [document.documentElement.scrollWidth, window.innerWidth]");
        assert!(
            wide[0].as_u64() <= wide[1].as_u64(),
            "{name}: it must be scrolled sideways: {wide}"
        );
        assert_eq!(wide[1], width);
        browser.keep(name);
        let ground = "return getComputedStyle(document.body).backgroundColor";
        let light = browser.script(ground);
        let dark = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}});
        ask(&format!("{}/goog/cdp/execute", browser.session), &dark);
        assert_ne!(
            browser.script(ground),
            light,
            "{name}: the dark page is as the light one"
        );
        browser.keep(&format!("{name}-dark"));
        let link = browser.script("return document.querySelector('a[href^=\"/jobs/\"]').href");
        browser.open(link.as_str().unwrap());
        let report = browser.script("return document.body.innerText");
        assert!(
            report.as_str().unwrap_or_default().contains("Report of publication"),
            "{report}"
        );
        browser.keep(&format!("{name}-report"));
    }
}
