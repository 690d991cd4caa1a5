//! Clocks of the queues that note packets differ a little: an answer may carry an earlier time than
//! what it answers. What the packets acknowledge tells the order all the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use goawhy::vocab::frame::PREFACE;
use serde_json::{Value, json};

use common::wire::{Flow, Owned, Wire, frame};
use common::{job, list, report};

const PUSH: u8 = 0x18;
const FIN: u8 = 0x11;
const GET: &[u8] = b"\x82\x86\x84\x01\x01h";

/// A connection whose last packets are these of server or client, and then the same with each pair
/// of neighbours the other way round; with its handshake or without.
fn told(last: &[(bool, u8, &[u8])], swapped: bool, handshake: bool) -> Value {
    let settings = frame(4, 0, 0, b"");
    let mut flow = Flow::new(40_000);
    let mut packets: Vec<Owned> = flow.open(1_000_000_000);
    let says = [
        (false, PUSH, [&PREFACE[..], &settings, &frame(1, 5, 1, GET)].concat()),
        (true, PUSH, [&settings[..], &frame(1, 5, 1, b"\x88")].concat()),
    ];
    let last = last.iter().map(|(server, flags, octets)| (*server, *flags, octets.to_vec()));
    for (number, (server, flags, octets)) in (1..).zip(says.into_iter().chain(last)) {
        packets.push(flow.send(1_000_000_000 + number * 1_000_000, server, flags, &octets));
    }
    if swapped {
        for pair in packets[5..].chunks_exact_mut(2) {
            let at = [pair[0].at, pair[1].at];
            pair.swap(0, 1);
            (pair[0].at, pair[1].at) = (at[0], at[1]);
        }
    }
    packets.drain(..if handshake { 0 } else { 3 });
    let told = Wire { link: 1, packets }.with_file(|path| report(&job(path)).unwrap());
    let connection = &told["connections"][0];
    let goaways = list(&connection["goaways"]).iter().map(|goaway| &goaway["by"]);
    json!([goaways.collect::<Vec<_>>(), connection["goaways"][0]["verdict"]["cause"]])
}

#[test]
fn a_goaway_that_acknowledges_the_close_answers_it() {
    let goaway = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    let last = [(false, FIN, &b""[..]), (true, PUSH, &goaway)];
    let whole = told(&last, false, true);
    assert_eq!(whole, json!([["server"], "client_shutdown"]));
    assert_eq!(told(&last, true, true), whole);
}

#[test]
fn goaways_stand_in_the_order_in_which_they_answer_each_other() {
    let goaway = |last: u8| frame(7, 0, 0, &[0, 0, 0, last, 0, 0, 0, 0]);
    let (server, client) = (goaway(1), goaway(0));
    let last = [(true, PUSH, &server[..]), (false, PUSH, &client[..])];
    for handshake in [true, false] {
        let whole = told(&last, false, handshake);
        assert_eq!(whole[0], json!(["server", "client"]), "{handshake}");
        assert_eq!(told(&last, true, handshake), whole, "{handshake}");
    }
}

#[test]
fn a_rst_waits_for_the_octets_that_it_acknowledges() {
    const ABORT: u8 = 0x14;
    let goaway = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    let last = [(true, PUSH, &goaway[..]), (false, ABORT, &b""[..])];
    for handshake in [true, false] {
        let whole = told(&last, false, handshake);
        assert_eq!(whole[0], json!(["server"]), "{handshake}");
        assert_eq!(told(&last, true, handshake), whole, "{handshake}");
    }
}
