use super::*;
use crate::vocab::stream::StreamEnd;

fn fault(text: &str) -> String {
    Filter::new(text).unwrap_err().to_string()
}

fn stream(id: u32, path: &str, seconds: i64) -> StreamRow {
    use crate::vocab::time::{Stamp, Timestamp};
    let at = |seconds| Some(Stamp::new(0, 1, Timestamp::from_parts(seconds, 0)));
    StreamRow {
        id,
        path: Some(path.into()),
        opened: at(10),
        ended: at(10 + seconds),
        end: StreamEnd::Reset(Side::Client, ErrorCode::CANCEL),
        ..StreamRow::default()
    }
}

/// Whether the filter holds for a stream that is all that is known.
fn holds(filter: &str, stream: &StreamRow) -> bool {
    let filter = Filter::new(filter).unwrap();
    filter.tree.holds(&Facts { stream: Some(stream), ..Facts::default() })
}

#[test]
fn conditions_compare() {
    let orders = stream(3, "/orders/7", 5);
    for yes in [
        "",
        "stream:3",
        "stream=3",
        "id:1,3",
        "path:/orders",
        "path:/ORDERS",
        r"path:/^\/orders\/\d$/",
        "age>4s",
        "age>=5",
        "age:5000ms",
        "age<1m",
        "code:8",
        "code:cancel",
        "code:0x8",
        "by:client",
        "by:c",
        "end:reset",
        "orders",
        "\"/orders/7\"",
        "/orders",
        "/orders/7",
        "(/orders)",
        "!/users",
        "not 10.0.0.1:443",
        "stream!=5",
    ] {
        assert!(holds(yes, &orders), "{yes}");
    }
    for no in ["stream:5", "path:/users", "age>5s", "code!=8", "by:server", "status:200", "users"] {
        assert!(!holds(no, &orders), "{no}");
    }
    assert!(!holds("status!=200", &orders), "what is not known differs from nothing");
}

#[test]
fn a_path_keeps_its_signs() {
    let asked = stream(3, "/orders?id=3&by=(me)", 5);
    for yes in ["/orders?id=3", "/orders?id=3&by=(me", "path:/orders?id=3", "\"by=(me)\""] {
        assert!(holds(yes, &asked), "{yes}");
    }
    assert!(!holds("/orders?id=4", &asked));
}

#[test]
fn words_may_stand_in_streams() {
    assert!(Filter::new("/orders").unwrap().wants_streams());
    assert!(!Filter::new("/orders").unwrap().is_of_streams());
}

#[test]
fn words_join_as_usual() {
    let orders = stream(3, "/orders/7", 5);
    for yes in [
        "stream:3 age>4s",
        "stream:3 and age>4s",
        "stream:9 or age>4s",
        "not stream:9",
        "!stream:9 !path:/users",
        "stream:9 age>9s or path:/orders",
        "(stream:9 or stream:3) (age>9s or by:client)",
        "not (stream:9 or by:server)",
        "not not stream:3",
    ] {
        assert!(holds(yes, &orders), "{yes}");
    }
    for no in ["stream:3 age>9s", "not stream:3", "stream:9 (age>4s or by:client)"] {
        assert!(!holds(no, &orders), "{no}");
    }
}

#[test]
fn a_bad_filter_says_what_and_where() {
    for (text, wanted) in [
        ("stream:3 cuase:x", "at character 10: there is no field 'cuase'; is it 'cause'?"),
        ("by:x", "at character 4: 'x' is no value of 'by': client or server"),
        ("cause:idel", "at character 7: 'idel' is no value of 'cause', idle_timeout is"),
        ("age>4x", "at character 5: '4x' is no value of 'age', 4s (or 250ms, 2m, 1.5h) is"),
        ("age>", "at character 4: 'age' has no value"),
        ("(stream:3", "at character 1: a ( without its )"),
        ("stream:3)", "at character 9: a ) without its ("),
        ("path>4", "at character 5: 'path' has no order; write path:value"),
        ("or stream:3", "at character 1: something has to stand before 'or'"),
        ("stream:3 and", "at character 13: something has to follow 'and'"),
        ("by:server or", "at character 13: something has to follow 'or'"),
        ("(by:server or)", "at character 14: something has to follow 'or'"),
        ("(by:server and)", "at character 15: something has to follow 'and'"),
        ("by:server ()", "at character 11: nothing stands between ( and )"),
        ("type:FOO", "at character 6: 'FOO' is no value of 'type', GOAWAY (or HEADERS, 0x2a) is"),
        (
            "rule:zzz",
            "at character 6: 'zzz' is no value of 'rule', part of a rule's name, as in hpack, is",
        ),
        ("age>-1s", "at character 5: '-1s' is no value of 'age', 4s (or 250ms, 2m, 1.5h) is"),
        ("streams>-1", "at character 9: '-1' is no value of 'streams', 3 is"),
        ("lost>nan", "at character 6: 'nan' is no value of 'lost', 3 is"),
        ("not", "at character 1: something has to follow 'not'"),
        (":3", "at character 1: a field has to stand before this"),
        ("é \"open", "at character 3: the quote does not end"),
        (
            "client:10.0.0.0/99",
            "at character 8: '10.0.0.0/99' is no value of 'client', \
          10.0.0.1 (or 10.0.0.1:443, 10.0.0.0/8, [::1]:443) is",
        ),
    ] {
        assert_eq!(fault(text), wanted, "{text}");
    }
    assert!(fault("path:/(/").contains("is no regular expression"), "{}", fault("path:/(/"));
}

#[test]
fn filters_are_bounded() {
    assert!(fault(&"x ".repeat(3000)).contains("longer than"));
    assert!(fault(&"x ".repeat(100)).contains("more than 64"));
    assert!(fault(&"(".repeat(100)).contains("too deeply"));
    assert!(fault(&"not ".repeat(100)).contains("too deeply"));
    assert!(fault("path:/(a{1000}){1000}/").contains("is no regular expression"));
}

#[test]
fn addresses_may_be_networks() {
    let end = |text: &str| {
        let end: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { ip: end.ip(), port: end.port() }
    };
    let has = |place: &str, at: &str| Place::new(place).unwrap().has(end(at));
    assert!(has("10.1.2.3", "10.1.2.3:5"));
    assert!(has("10.0.0.0/8", "10.1.2.3:5"));
    assert!(has("10.1.2.3:5", "10.1.2.3:5"));
    assert!(has("[::1]:5", "[::1]:5"));
    assert!(has("0.0.0.0/0", "9.9.9.9:1"));
    assert!(!has("10.1.2.3:6", "10.1.2.3:5"));
    assert!(!has("11.0.0.0/8", "10.1.2.3:5"));
    assert!(!has("::/0", "10.1.2.3:5"));
}

#[test]
fn frames_are_asked_by_what_they_are() {
    let facts = FrameFacts {
        by: Side::Server,
        stream: 0,
        kind: "GOAWAY",
        packet: 399,
        code: Some(ErrorCode::PROTOCOL_ERROR),
    };
    let passes = |filter: &str| Filter::new(filter).unwrap().frame(facts, None, None);
    assert!(passes("type:GOAWAY by:server code:1 packet:399 stream:0"));
    assert!(passes("type:goaway"));
    assert!(!passes("type:HEADERS"));
    assert!(!passes("code:2"));
}

#[test]
fn what_a_filter_needs_is_known() {
    let new = |text| Filter::new(text).unwrap();
    assert!(new("path:/x").wants_streams() && !new("cause:idle").wants_streams());
    assert!(new("stream:3 type:GOAWAY").is_of_frames() && !new("cause:idle").is_of_frames());
}

#[test]
fn what_depends_on_streams_is_left_open() {
    let may = |text: &str| Filter::new(text).unwrap().tree.may_hold(&Facts::default());
    assert_eq!(may("path:/x"), None);
    assert_eq!(may("not path:/x"), None);
    assert_eq!(may("path:/x lasted>1s"), Some(false));
    assert_eq!(may("path:/x or not lasted>1s"), Some(true));
    assert_eq!(may("path:/x or lasted>1s"), None);
}
