//! Chains that go on beyond a proxy: captures of both its sides, and look-alikes that are not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use goawhy::exchange;
use serde_json::Value;

fn report(files: &[PathBuf], more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_goawhy"))
        .args(if more.contains(&"--format") {
            &["report"][..]
        } else {
            &["report", "--format", "json"]
        })
        .args(more)
        .args(files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn capture(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/servers").join(name);
    report(&[file], &[])
}

/// The report on one capture made of each script.
fn scripted(name: &str, scripts: &[&str], more: &[&str]) -> Value {
    let folder = std::env::temp_dir().join(format!("goawhy-hops-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |(number, script): (usize, &&str)| {
        let file = folder.join(format!("{number}.pcap"));
        let octets = exchange::pcap(script).unwrap_or_else(|error| panic!("{error}\n{script}"));
        std::fs::write(&file, octets).unwrap();
        file
    };
    let files: Vec<PathBuf> = scripts.iter().enumerate().map(write).collect();
    let report = report(&files, more);
    std::fs::remove_dir_all(folder).unwrap();
    report
}

/// One side's conversation: hosts, when each request is opened and how it ends, by the exchange
/// language. Times are milliseconds.
struct Leg {
    number: u16,
    hosts: &'static str,
    lines: Vec<(f64, String)>,
}

impl Leg {
    fn new(number: u16, hosts: &'static str) -> Self {
        let open = [(0.0, format!("SYN {hosts}")), (0.1, "C> PREFACE".into())];
        let rest = [(0.2, "C> SETTINGS".into()), (0.3, "S> SETTINGS".into())];
        Self { number, hosts, lines: open.into_iter().chain(rest).collect() }
    }

    fn get(mut self, at: f64, stream: u32, fields: &str) -> Self {
        let line = format!("C> HEADERS {stream} END_STREAM :method=GET :scheme=http {fields}");
        self.lines.push((at, line));
        self
    }

    fn line(mut self, at: f64, line: &str) -> Self {
        self.lines.push((at, line.into()));
        self
    }
}

/// All legs in one script, `later` milliseconds later.
fn script(legs: &[Leg], later: f64) -> String {
    let lines = legs.iter().flat_map(|leg| leg.lines.iter().map(move |line| (leg, line)));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b));
    let mut text = String::new();
    for (leg, (at, line)) in lines {
        assert!(!leg.hosts.is_empty());
        writeln!(text, "@{} {:.3} {line}", leg.number, at + later).unwrap();
    }
    text
}

const FRONT: &str = "10.0.0.1 10.0.0.2:8080";
const BACK: &str = "10.0.0.2 10.0.0.3:9090";
const WORK: &str = ":authority=shop :path=/slow";

/// A client that cancels three requests after a second, each one told by `fields`.
fn cancels(leg: Leg, later: f64, fields: &dyn Fn(u32) -> String) -> Leg {
    (0..3_u32).fold(leg, |leg, number| {
        let (at, stream) = (10.0 + f64::from(number) * 137.0 + later, number * 2 + 1);
        let leg = leg.get(at, stream, &fields(number));
        leg.line(at + 1000.0, &format!("C> RST_STREAM {stream} CANCEL"))
    })
}

fn hops(report: &Value) -> Vec<&Value> {
    report["hops"].as_array().unwrap().iter().collect()
}

fn sets(connection: &Value) -> Vec<&Value> {
    connection["cancellations"].as_array().unwrap().iter().collect()
}

/// No connection of the report says anything of another side of a proxy.
fn is_alone(report: &Value) {
    assert_eq!(report["hops"], Value::Array(Vec::new()));
    let text = report.to_string();
    assert!(!text.contains("\"way\""), "{text}");
}

#[test]
fn what_a_proxy_passed_on_is_no_advice_for_the_proxy() {
    let report = capture("client-timeout-haproxy.pcap");
    let rows = report["connections"].as_array().unwrap().iter();
    let sets: Vec<&Value> = rows.flat_map(|row| row["cancellations"].as_array().unwrap()).collect();
    let (own, passed): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| set["hop"].is_null());
    assert!(!passed.is_empty() && passed.iter().all(|set| set["advice"].is_null()), "{passed:?}");
    let advice = own.iter().filter_map(|set| set["advice"].as_str()).collect::<String>();
    assert!(advice.contains("raise the request timeout, now 1.0 s"), "{own:?}");
}

#[test]
fn cancels_that_a_proxy_passed_on_name_the_connection_they_came_from() {
    let report = capture("client-timeout-haproxy.pcap");
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    assert_eq!(hop["front"], "127.0.0.1:21003");
    assert_eq!(hop["back"], "127.0.0.1:21010");
    assert_eq!((&hop["requests"], &hop["cancels_passed_on"]), (&2.into(), &2.into()));
    assert_eq!((&hop["front_connections"], &hop["back_connections"]), (&[1].into(), &[2].into()));
    let of_proxy = &report["connections"][1];
    for set in sets(of_proxy) {
        assert_eq!(set["cause"], "client_request_timeout");
        assert_eq!(
            (&set["hop"]["way"], &set["hop"]["connections"]),
            (&"cancel_passed_on".into(), &[1].into())
        );
    }
    assert!(sets(&report["connections"][0]).iter().all(|set| set["hop"].is_null()));
    // The timer is the client's alone: the proxy has none.
    let timers = report["inferred_timeouts"].as_array().unwrap();
    assert!(timers.iter().all(|timer| timer["server"] == "127.0.0.1:21003"), "{timers:?}");
}

#[test]
fn a_goaway_behind_a_proxy_has_its_root_before_it() {
    let report = capture("client-timeout-burst-nghttp-upstream.pcap");
    let goaway = &report["connections"][1]["goaways"][0];
    let verdict = &goaway["verdict"];
    assert_eq!(verdict["cause"], "client_request_timeout");
    assert_eq!(verdict["trigger"], "rapid_reset_protection");
    let hop = &verdict["hop"];
    assert_eq!(
        (&hop["way"], &hop["cause"]),
        (&"cancel_passed_on".into(), &"client_request_timeout".into())
    );
    assert!(hop["connection_count"].as_u64().unwrap() >= 6, "{hop}");
    assert!(hop["requests"].as_u64().unwrap() > 1000, "{hop}");
    let chain = verdict["chain"].as_array().unwrap();
    let elsewhere: Vec<&Value> =
        chain.iter().filter(|step| !step["connection"].is_null()).collect();
    let seen: Vec<(&str, u64)> = elsewhere
        .iter()
        .map(|step| (step["what"].as_str().unwrap(), step["connection"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("HEADERS", 1), ("RST_STREAM", 1)], "{chain:?}");
    assert_eq!(chain.last().unwrap()["packet"], goaway["packet"]);
    // Every request of both the proxy's connections, and every client's.
    assert_eq!(hops(&report)[0]["requests"], 1800, "{}", report["hops"]);
    assert_eq!(sets(&report["connections"][2])[0]["hop"]["way"], "cancel_passed_on");
    // The advice is about the client before the proxy, which is Node.
    assert!(verdict["advice"][0].as_str().unwrap().contains("Node.js"), "{}", verdict["advice"]);
}

#[test]
fn a_proxy_that_gave_up_by_itself_is_no_client_with_a_timeout() {
    let report = capture("haproxy-504.pcap");
    let of_proxy = &report["connections"][1];
    for set in sets(of_proxy) {
        assert_eq!(set["cause"], "server_request_timeout");
        assert_eq!(set["timeout"]["configured_in"], "proxy");
        assert_eq!(set["hop"]["way"], "proxy_gave_up");
        assert_eq!(set["hop"]["connections"], Value::from([1]));
    }
    assert_eq!(sets(of_proxy).len(), 2);
    assert_eq!(hops(&report)[0]["given_up"], 2);
}

#[test]
fn requests_are_known_by_their_trace_whatever_else_is_rewritten() {
    let trace = |number: u32| format!("4bf92f3577b34da6a3ce929d0e0e473{number}");
    let front = |n: u32| format!("{WORK} traceparent=00-{}-00f067aa0ba902b7-01", trace(n));
    let back = |n: u32| {
        format!(":authority=inner:9090 :path=/v2/slow x-b3-traceid={}", trace(n).to_uppercase())
    };
    // The proxy's other address is none that anybody connected to.
    let legs = [
        cancels(Leg::new(1, FRONT), 0.0, &front),
        cancels(Leg::new(2, "10.9.0.7 10.9.0.8:9090"), 3.0, &back),
    ];
    let report = scripted("trace", &[&script(&legs, 0.0)], &[]);
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    assert_eq!((&hop["joined_by"], &hop["requests"]), (&"trace_id".into(), &3.into()));
    assert!(hop["confidence"].as_f64().unwrap() >= 0.9);
    let set = sets(&report["connections"][1])[0];
    assert_eq!(set["hop"]["connections"], Value::from([1]));
}

#[test]
fn without_an_id_authority_path_order_and_time_join_with_less_confidence() {
    let legs = [
        cancels(Leg::new(1, FRONT), 0.0, &|_| WORK.into()),
        cancels(Leg::new(2, BACK), 2.0, &|_| WORK.into()),
    ];
    let report = scripted("order", &[&script(&legs, 0.0)], &[]);
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    assert_eq!((&hop["joined_by"], &hop["requests"]), (&"authority_and_path".into(), &3.into()));
    let sure = hop["confidence"].as_f64().unwrap();
    assert!((0.6..0.9).contains(&sure), "{sure}");
}

/// The three requests sent on in HTTP/1.1, each on a connection of its own, closed unanswered
/// `late` milliseconds after the cancel.
fn sent_on(hosts: &'static str, host: &str, path: &str, late: f64) -> Vec<Leg> {
    let legs = (0..3_u16).map(|number| {
        let at = 11.0 + f64::from(number) * 137.0;
        let head =
            format!("GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n");
        let lines = vec![
            (at, format!("SYN {hosts}")),
            (at + 0.2, format!("C> TEXT \"{head}\"")),
            (at + 999.0 + late, "C> FIN".to_owned()),
            (at + 999.5 + late, "S> FIN".to_owned()),
        ];
        Leg { number: number + 2, hosts, lines }
    });
    legs.collect()
}

#[test]
fn the_other_side_of_a_proxy_may_be_in_http_1() {
    let told = |name: &str| {
        let report = capture(name);
        let [hop] = hops(&report)[..] else { panic!("{name}: {}", report["hops"]) };
        assert_eq!(
            (&hop["front"], &hop["back"]),
            (&"127.0.0.1:21001".into(), &"127.0.0.1:21010".into())
        );
        assert_eq!(
            (&hop["joined_by"], &hop["back_connections"]),
            (&"path".into(), &Value::from([0; 0]))
        );
        (
            hop["cancels_passed_on"].clone(),
            hop["given_up"].clone(),
            hop["confidence"].as_f64().unwrap(),
        )
    };
    is_alone(&capture("nghttpx-stream-timeouts.pcap"));
    // Clients that give up, and what nginx does then; a server that is too slow for nginx itself.
    assert_eq!(told("client-timeout-nginx.pcap"), (4.into(), 0.into(), 0.65));
    assert_eq!(told("nginx-504.pcap"), (0.into(), 1.into(), 0.45));
    let same = |_: u32| WORK.to_owned();
    let report = |hosts, host: &str, path: &str, late| {
        let mut legs = vec![cancels(Leg::new(1, FRONT), 0.0, &same)];
        legs.extend(sent_on(hosts, host, path, late));
        scripted("http-1", &[&script(&legs, 0.0)], &[])
    };
    // With the name that the client asked for, and with the server's own.
    let renamed = report(BACK, "10.0.0.3:9090", "/slow", 1.0);
    let kept = report(BACK, "shop", "/slow", 1.0);
    for (report, by) in [(renamed, "path"), (kept, "authority_and_path")] {
        let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
        assert_eq!((&hop["cancels_passed_on"], &hop["joined_by"]), (&3.into(), &by.into()));
        assert_eq!(report["connections"].as_array().unwrap().len(), 1, "the rest is not HTTP/2");
    }
    // Another path, another host, another name, before the cancel and long after it.
    is_alone(&report(BACK, "10.0.0.3:9090", "/other", 1.0));
    is_alone(&report("10.0.0.5 10.0.0.3:9090", "10.0.0.3:9090", "/slow", 1.0));
    is_alone(&report("10.0.0.1 10.0.0.3:9090", "10.0.0.3:9090", "/slow", 1.0));
    is_alone(&report(BACK, "elsewhere", "/slow", 1.0));
    is_alone(&report(BACK, "10.0.0.3:9090", "/slow", -3.0));
    is_alone(&report(BACK, "10.0.0.3:9090", "/slow", 400.0));
}

#[test]
fn strangers_that_time_out_together_stay_strangers() {
    let same = |_: u32| WORK.to_owned();
    let stranger = |hosts, later, fields: &dyn Fn(u32) -> String| {
        let legs =
            [cancels(Leg::new(1, FRONT), 0.0, &same), cancels(Leg::new(2, hosts), later, fields)];
        is_alone(&scripted("strangers", &[&script(&legs, 0.0)], &[]));
    };
    // Elsewhere, at the same moment, the same path.
    stranger("10.0.0.5 10.0.0.6:9090", 2.0, &same);
    // The same server, another client.
    stranger("10.0.0.7 10.0.0.2:8080", 2.0, &same);
    // A client with two servers: neither is the other's proxy.
    stranger("10.0.0.1 10.0.0.3:9090", 2.0, &same);
    // On the proxy's host, but for something else.
    stranger(BACK, 2.0, &|_| ":authority=shop :path=/other".into());
    stranger(BACK, 2.0, &|_| ":authority=other :path=/slow".into());
    // On the proxy's host, but not because of it: it gave up first, or much later.
    stranger(BACK, -4.0, &same);
    stranger(BACK, 400.0, &same);
    // Traces that say that they are others.
    let traced = |digit: char| {
        let id: String = std::iter::repeat_n(digit, 32).collect();
        move |_: u32| format!("{WORK} traceparent=00-{id}-00f067aa0ba902b7-01")
    };
    let legs = [
        cancels(Leg::new(1, FRONT), 0.0, &traced('a')),
        cancels(Leg::new(2, BACK), 2.0, &traced('b')),
    ];
    is_alone(&scripted("other-traces", &[&script(&legs, 0.0)], &[]));
    // One trace, two servers of one client.
    let two = "10.0.0.1 10.0.0.3:9090";
    let legs = [
        cancels(Leg::new(1, FRONT), 0.0, &traced('a')),
        cancels(Leg::new(2, two), 2.0, &traced('a')),
    ];
    is_alone(&scripted("one-trace", &[&script(&legs, 0.0)], &[]));
}

#[test]
fn on_one_host_a_request_must_show_that_it_was_forwarded() {
    let hosts = ("127.0.0.1 127.0.0.1:8080", "127.0.0.1 127.0.0.1:9090");
    let both = |name: &str, front: &str, back: &str| {
        let legs = [
            cancels(Leg::new(1, hosts.0), 0.0, &|_| front.into()),
            cancels(Leg::new(2, hosts.1), 2.0, &|_| back.into()),
        ];
        scripted(name, &[&script(&legs, 0.0)], &[])
    };
    // One client, two replicas: nothing says that one is the other's proxy.
    is_alone(&both("replicas", WORK, WORK));
    let forwarded = format!("{WORK} x-forwarded-for=127.0.0.1");
    assert_eq!(hops(&both("forwarded", WORK, &forwarded))[0]["requests"], 3);
    // Nor that both are asked by the name of the first one.
    let named = ":authority=localhost:8080 :path=/slow";
    is_alone(&both("named", named, named));
    // Another program that asks by that name has it from the first one's client.
    let other = |leg: Leg| {
        let lines = leg.lines.into_iter().map(|(at, line)| match line.as_str() {
            "C> SETTINGS" => (at, "C> SETTINGS ENABLE_PUSH=0".to_owned()),
            _ => (at, line),
        });
        Leg { lines: lines.collect(), ..leg }
    };
    let legs = [
        cancels(Leg::new(1, hosts.0), 0.0, &|_| named.into()),
        other(cancels(Leg::new(2, hosts.1), 2.0, &|_| named.into())),
    ];
    assert_eq!(hops(&scripted("another", &[&script(&legs, 0.0)], &[]))[0]["requests"], 3);
    // Where the name tells nothing, it asks and gives up within a breath of that client.
    let breath = |late: f64| {
        let legs = [
            cancels(Leg::new(1, hosts.0), 0.0, &|_| WORK.into()),
            other(cancels(Leg::new(2, hosts.1), late, &|_| WORK.into())),
        ];
        scripted("breath", &[&script(&legs, 0.0)], &[])
    };
    assert_eq!(hops(&breath(0.4))[0]["requests"], 3);
    is_alone(&breath(40.0));
    // So has one that carries its identifiers on.
    let traced =
        format!("{WORK} traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let legs = [
        cancels(Leg::new(1, hosts.0), 0.0, &|n| traced.replace("4736", &format!("{n:04}"))),
        other(cancels(Leg::new(2, hosts.1), 2.0, &|n| traced.replace("4736", &format!("{n:04}")))),
    ];
    let known = scripted("carried-on", &[&script(&legs, 0.0)], &[]);
    assert_eq!(
        (&hops(&known)[0]["requests"], &hops(&known)[0]["joined_by"]),
        (&3.into(), &"trace_id".into())
    );
}

#[test]
fn on_one_host_a_client_of_two_servers_is_no_proxy_whatever_ids_it_shares() {
    let id = "traceparent=00-4bf92f3577b34da6a3ce929d0e0e473";
    let call = |number: u16, port: u16, later: f64| {
        let hosts = if port == 8080 { "10.0.0.1 10.0.0.1:8080" } else { "10.0.0.1 10.0.0.1:8090" };
        let fields = move |n: u32| {
            format!(":authority=10.0.0.1:{port} :path=/{port} {id}{n}-00f067aa0ba902b{n}-01")
        };
        cancels(Leg::new(number, hosts), later, &fields)
    };
    is_alone(&scripted(
        "one-host",
        &[&script(&[call(1, 8080, 0.0), call(2, 8090, 2.0)], 0.0)],
        &[],
    ));
    // Nor is one that asks the server behind a proxy by itself, in HTTP/1.1.
    let same = |_: u32| WORK.to_owned();
    let mut legs = vec![cancels(Leg::new(1, FRONT), 0.0, &same)];
    for mut leg in sent_on(BACK, "10.0.0.3:9090", "/slow", 1.0) {
        for (_, line) in &mut leg.lines {
            *line = line.replace("Connection: close\\r\\n", "");
        }
        legs.push(leg);
    }
    is_alone(&scripted("by-itself", &[&script(&legs, 0.0)], &[]));
}

#[test]
fn a_failure_behind_the_proxy_explains_the_one_before_it() {
    let front =
        Leg::new(1, FRONT).get(10.0, 1, WORK).line(612.0, "S> HEADERS 1 END_STREAM :status=503");
    let front = front.get(700.0, 3, WORK).line(1302.0, "S> RST_STREAM 3 INTERNAL_ERROR");
    let back = Leg::new(2, BACK).get(11.0, 1, WORK).line(610.0, "S> RST_STREAM 1 REFUSED_STREAM");
    let back = back.get(701.0, 3, WORK).line(1300.0, "S> RST_STREAM 3 ENHANCE_YOUR_CALM");
    let report = scripted("failure", &[&script(&[front, back], 0.0)], &[]);
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    assert_eq!((&hop["failures_passed_on"], &hop["requests"]), (&2.into(), &2.into()));
}

#[test]
fn what_a_proxy_refuses_after_it_had_passed_it_on_is_not_safe_to_send_again() {
    let told = |passed_on: bool| {
        let fields = |n: u32| format!(":authority=shop.example :path=/pay/{n}");
        let mut front = Leg::new(1, FRONT);
        let mut back = Leg::new(2, BACK);
        for n in 0..3u32 {
            let (at, stream) = (10.0 + f64::from(n), 2 * n + 1);
            front = front.get(at, stream, &fields(n));
            front = front.line(2900.0, &format!("S> RST_STREAM {stream} REFUSED_STREAM"));
            if passed_on {
                back = back.get(at + 0.4, stream, &fields(n));
            }
        }
        let (front, back) = (front.line(3400.0, "C> FIN"), back.line(2899.0, "S> FIN"));
        let report = scripted("refused", &[&script(&[front, back], 0.0)], &[]);
        report["connections"][0]["end_verdict"].clone()
    };
    let safe = told(false);
    assert_eq!(safe["safe_to_retry_streams"], serde_json::json!([1, 3, 5]));
    let sent = told(true);
    assert_eq!(sent["safe_to_retry_streams"], serde_json::json!([]), "{sent}");
    assert_eq!(sent["maybe_processed_streams"], serde_json::json!([1, 3, 5]));
    assert!(sent["summary"].as_str().unwrap().contains("passed on by the proxy"), "{sent}");
}

#[test]
fn a_proxy_that_gave_up_is_no_reason_beyond_its_own_client() {
    let id = |n: u32| format!("{WORK} x-request-id=7a1f3c5d-0000-4000-8000-00000000000{n}");
    let both = (0..3_u32).fold((Leg::new(1, FRONT), Leg::new(2, BACK)), |(front, back), n| {
        let (at, stream) = (10.0 + f64::from(n) * 137.0, n * 2 + 1);
        let front = front.get(at, stream, &id(n));
        let back = back.get(at + 1.0, stream, &id(n));
        (
            front.line(at + 602.0, &format!("S> RST_STREAM {stream} INTERNAL_ERROR")),
            back.line(at + 601.0, &format!("C> RST_STREAM {stream} CANCEL")),
        )
    });
    let report = scripted("gave-up", &[&script(&[both.0, both.1], 0.0)], &[]);
    assert_eq!(hops(&report)[0]["given_up"], 3, "{}", report["hops"]);
    assert!(sets(&report["connections"][0]).iter().all(|set| set["hop"].is_null()), "{report}");
    let far = &sets(&report["connections"][1])[0]["hop"];
    assert_eq!((&far["way"], &far["connections"]), (&"proxy_gave_up".into(), &[1].into()));
}

#[test]
fn two_captures_join_with_less_confidence_whichever_way_it_went() {
    let failing = |leg: Leg, later: f64| {
        (0..4_u32).fold(leg, |leg, n| {
            let (at, stream) = (10.0 + f64::from(n) * 137.0 + later, n * 2 + 1);
            leg.get(at, stream, WORK)
                .line(at + 600.0 - 2.0 * later, &format!("S> RST_STREAM {stream} INTERNAL_ERROR"))
        })
    };
    let front = script(&[failing(Leg::new(1, FRONT), 0.0)], 0.0);
    let back = script(&[failing(Leg::new(2, BACK), 1.0)], 0.0);
    let report = scripted("two", &[&front, &back], &[]);
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    let of_set = &sets(&report["connections"][0])[0]["hop"];
    assert_eq!(of_set["way"], "failure_passed_on", "{report}");
    assert_eq!(of_set["confidence"], hop["confidence"]);
}

#[test]
fn clocks_of_two_captures_are_told_or_found() {
    let trace = |n: u32| format!("{WORK} x-request-id=7a1f3c5d-0000-4000-8000-00000000000{n}");
    let front = script(&[cancels(Leg::new(1, FRONT), 0.0, &trace)], 10_000.0);
    let back = |fields: &dyn Fn(u32) -> String| {
        script(&[cancels(Leg::new(2, BACK), 2.0, fields)], 17_500.0)
    };
    // The second clock is 7.5 s ahead, and requests with ids tell.
    let report = scripted("clocks", &[&front, &back(&trace)], &[]);
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    assert_eq!((&hop["requests"], &hop["clock_offset"]["capture"]), (&3.into(), &1.into()));
    let seconds = hop["clock_offset"]["seconds"].as_f64().unwrap();
    assert!((seconds + 7.5).abs() < 0.01, "{seconds}");
    assert_eq!((&hop["clock_offset"]["events"], &hop["confidence"]), (&6.into(), &0.95.into()));
    assert_eq!(report["clock_offsets"], Value::from([hop["clock_offset"].clone()]));
    // An archive has one clock: what was sent on comes right behind what came.
    let archive = scripted("clocks-har", &[&front, &back(&trace)], &["--format", "har"]);
    let entries = archive["log"]["entries"].as_array().unwrap();
    let captures: Vec<&Value> = entries.iter().map(|of| &of["_goawhy"]["capture"]).collect();
    assert_eq!(captures, [0, 1, 0, 1, 0, 1], "{archive:#}");
    // One request tells too little, though its id joins.
    let one = |leg: Leg, later: f64| {
        let leg = leg.get(10.0 + later, 1, &trace(1));
        script(&[leg.line(1010.0 + later, "C> RST_STREAM 1 CANCEL")], 10_000.0 + 3750.0 * later)
    };
    let few = [one(Leg::new(1, FRONT), 0.0), one(Leg::new(2, BACK), 2.0)];
    let report = scripted("clocks-few", &[&few[0], &few[1]], &[]);
    let [hop] = hops(&report)[..] else { panic!("{}", report["hops"]) };
    assert_eq!(
        (&hop["clock_offset"], &report["clock_offsets"]),
        (&Value::Null, &Value::from([0; 0]))
    );
    assert!(hop["confidence"].as_f64().unwrap() < 0.8, "{hop}");
    // Without ids only the user can tell.
    let same = |_: u32| WORK.to_owned();
    let front = script(&[cancels(Leg::new(1, FRONT), 0.0, &same)], 10_000.0);
    is_alone(&scripted("clocks-unknown", &[&front, &back(&same)], &[]));
    let told = ["--clock-offset", "2=-7.5"];
    let report = scripted("clocks-told", &[&front, &back(&same)], &told);
    assert_eq!(hops(&report)[0]["requests"], 3);
    let opened =
        |index: usize| report["connections"][index]["opened_at"].as_str().unwrap()[..19].to_owned();
    assert_eq!(opened(0), opened(1));
}

#[test]
fn clocks_of_two_captures_are_found_from_connections_that_both_have() {
    let same = |_: u32| WORK.to_owned();
    let front = || {
        let leg = cancels(Leg::new(1, FRONT), 0.0, &same);
        leg.line(2000.0, "S> GOAWAY 5 NO_ERROR").line(2001.0, "C> FIN")
    };
    let back = cancels(Leg::new(2, BACK), 2.0, &same);
    let (one, both) = (script(&[front()], 10_000.0), script(&[front(), back], 17_500.0));
    let report = scripted("clocks-shared", &[&one, &both], &[]);
    let offset = &report["clock_offsets"][0];
    assert_eq!(offset["capture"], 1, "{report}");
    assert!(offset["events"].as_u64().unwrap() >= 10, "{offset}");
    assert!((offset["seconds"].as_f64().unwrap() + 7.5).abs() < 0.001, "{offset}");
    // By one clock now: the copy is no connection of its own, and what the proxy did shows.
    assert_eq!(report["connections"].as_array().unwrap().len(), 2);
    assert_eq!(hops(&report)[0]["requests"], 3, "{report}");
    // The same capture twice: clocks that agree.
    let report = scripted("clocks-agree", &[&one, &one], &[]);
    assert_eq!(report["clock_offsets"][0]["seconds"], 0.0, "{}", report["clock_offsets"]);
    // Told, it is left at that.
    let report = scripted("clocks-said", &[&one, &both], &["--clock-offset", "2=-7.4"]);
    assert_eq!(report["clock_offsets"], Value::from([0; 0]));
    // Told that it is right.
    let report = scripted("clocks-right", &[&one, &both], &["--clock-offset", "2=0"]);
    assert_eq!(report["clock_offsets"], Value::from([0; 0]));
    // Nothing in common.
    let other = script(&[cancels(Leg::new(2, BACK), 2.0, &same)], 10_000.0);
    let report = scripted("clocks-other", &[&one, &other], &[]);
    assert_eq!(report["clock_offsets"], Value::from([0; 0]));
}
