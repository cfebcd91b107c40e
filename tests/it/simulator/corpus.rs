//! What is known of Polar, fact by fact, and the tests that hold the simulator to it. Facts that it does not play are
//! named in its documentation instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What stands for a fact.
enum Held {
    /// These tests.
    By(&'static [&'static str]),
    /// This phrase of docs/simulator.md, which says that it is not simulated, and what to do instead.
    Not(&'static str),
}
use Held::{By, Not};

use crate::tidy::sources;

/// The parts of what is known, in the order of the ingest endpoint first.
const PARTS: [&str; 11] = [
    "addresses",
    "fields",
    "validation",
    "poison",
    "limits",
    "connections",
    "answers",
    "rate",
    "money",
    "endpoints",
    "clients",
];

#[rustfmt::skip]
const FACTS: &[(&str, &str, Held)] = &[
    ("addresses", "production and sandbox have addresses of their own", Not("one address and plays either")),
    ("addresses", "a bearer token of an organization, with the scope to write events", By(&["a_good_request_is_answered_200_with_what_was_inserted", "a_token_without_the_scope_is_403_and_says_which_is_missing"])),
    ("addresses", "every endpoint has a scope of its own", By(&["every_endpoint_wants_a_scope_of_its_own_and_names_those_that_would_do"])),
    ("addresses", "a token is of one organization, and sees nothing of another", By(&["a_token_of_another_organization_is_as_good_and_finds_nothing_of_this_one"])),
    ("addresses", "tokens of the other environment are unknown", By(&["the_token_of_another_environment_is_401_and_nothing_is_inserted"])),
    ("addresses", "three published versions, ingest is the same in all", By(&["an_unknown_version_is_404_and_the_published_ones_are_served", "a_request_without_a_version_is_served"])),
    ("addresses", "an unknown version is 404 like an unknown path", By(&["an_unknown_version_is_404_and_the_published_ones_are_served"])),
    ("addresses", "names of variables users know", Not("reads no variable of Polar's")),

    ("fields", "the answer counts inserted and duplicates, and their sum is what was sent", By(&["a_good_request_is_answered_200_with_what_was_inserted", "an_external_id_is_unique_and_the_first_wins_whatever_it_carries"])),
    ("fields", "200 means committed", By(&["a_connection_can_be_cut_before_the_commit_after_it_and_in_the_middle_of_the_answer"])),
    ("fields", "unknown fields do not matter", By(&["unknown_fields_are_ignored"])),
    ("fields", "name: 128 characters, empty and Polar's own allowed", By(&["a_name_has_at_most_128_characters_and_may_be_empty_or_one_of_polars_own", "an_id_that_is_no_string_is_refused"])),
    ("fields", "customer_id: a UUID of version 4 of a customer who exists", By(&["a_customer_id_must_be_one_of_an_existing_customer", "an_id_that_is_no_string_is_refused"])),
    ("fields", "external_customer_id: any string, known or not", By(&["an_unknown_external_customer_is_accepted_and_so_is_an_empty_one"])),
    ("fields", "an unknown customer's events are theirs once they are created", By(&["a_grant_sent_before_its_customer_exists_is_theirs_once_they_do"])),
    ("fields", "after 180 minutes only from the next event on", By(&["a_customer_created_after_180_minutes_has_nothing_until_their_next_event"])),
    ("fields", "a very long external_customer_id is a 500", By(&["ids_beyond_the_index_limit_are_poison"])),
    ("fields", "one of the two is required; of both the external one counts", By(&["one_of_the_two_customer_fields_is_required_and_with_both_the_customer_id_is_dropped"])),
    ("fields", "members: an unknown id is refused, an external one is not", By(&["an_unknown_member_is_refused_and_an_external_one_is_not"])),
    ("fields", "external_id: unique in the organization, whatever the name, for ever", By(&["the_same_id_under_another_name_or_customer_is_a_duplicate_for_ever"])),
    ("fields", "external_id: the empty one is a value", By(&["an_empty_external_id_is_a_value_and_dedupes_and_none_at_all_never_does"])),
    ("fields", "external_id: a number is refused, a very long one is a 500", By(&["an_id_that_is_no_string_is_refused", "ids_beyond_the_index_limit_are_poison"])),
    ("fields", "parent_id: by Polar's id or the application's, before or after, orphans stay", By(&["a_parent_may_come_later_or_in_the_same_batch_and_orphans_are_counted", "a_parent_may_be_named_by_polars_own_id"])),
    ("fields", "timestamp: which forms are read and which are not", By(&["timestamps_without_a_zone_or_null_or_dates_or_leap_seconds_are_refused", "every_answer_of_the_schema_is_the_one_pydantic_and_fastapi_give"])),
    ("fields", "timestamp: nothing later than Polar's clock, without tolerance", By(&["an_instant_after_polars_clock_is_refused_and_now_is_not", "the_date_header_is_polars_clock_and_can_be_put_off_or_replaced"])),
    ("fields", "timestamp: an instant out of range is a 500", By(&["an_instant_python_cannot_hold_is_poison"])),
    ("fields", "organization_id is not allowed with a token of an organization", By(&["an_organization_may_not_be_named_with_an_organization_token"])),
    ("fields", "metadata: which values are taken", By(&["metadata_takes_short_strings_numbers_and_booleans_and_nothing_else"])),
    ("fields", "metadata: a number in quotes is accepted and not summed", By(&["a_number_sent_as_a_string_is_accepted_and_not_counted"])),
    ("fields", "metadata: neither the number of keys nor their length is limited", By(&["neither_the_length_nor_the_number_of_metadata_keys_is_limited"])),
    ("fields", "metadata: numbers that are none, and lone surrogates, are a 500", By(&["numbers_that_are_none_and_lone_surrogates_are_poison"])),
    ("fields", "cost: 17 digits, 12 decimals", By(&["a_cost_has_at_most_17_digits_with_12_of_them_decimals"])),
    ("fields", "language models: which fields", By(&["a_language_model_needs_its_five_fields_and_takes_three_more"])),

    ("validation", "one bad event refuses all", By(&["one_bad_event_refuses_the_batch_and_every_bad_one_is_named_under_both_arms"])),
    ("validation", "first layer: every bad event, under both arms, with these bodies", By(&["one_bad_event_refuses_the_batch_and_every_bad_one_is_named_under_both_arms", "every_answer_of_the_schema_is_the_one_pydantic_and_fastapi_give"])),
    ("validation", "second layer: only when the first is silent", By(&["the_second_layer_speaks_only_when_the_first_is_silent"])),
    ("validation", "second layer: the first fault of every bad event", By(&["the_second_layer_names_only_the_first_fault_of_an_event", "a_customer_id_must_be_one_of_an_existing_customer"])),
    ("validation", "faults of the body have no index", By(&["a_wrong_content_type_is_422_at_the_body", "malformed_json_is_422_at_the_offset", "an_empty_list_inserts_nothing_and_missing_events_are_422"])),
    ("validation", "the input is repeated", By(&["a_fault_repeats_what_was_sent"])),
    ("validation", "a reason nobody foresaw", By(&["rules_stricter_than_polars_refuse_in_either_layer_or_take_the_batch_down", "a_rule_of_the_schema_and_real_faults_are_named_in_one_answer", "a_rule_of_the_second_layer_and_real_faults_are_named_in_one_answer"])),

    ("poison", "a 500 in plain text for the whole batch", By(&["numbers_that_are_none_and_lone_surrogates_are_poison", "ids_beyond_the_index_limit_are_poison", "an_instant_python_cannot_hold_is_poison"])),
    ("poison", "crossed ids in two requests at once deadlock, and pass when sent again", By(&["two_unanswered_requests_with_the_same_ids_in_opposite_order_deadlock_and_a_retry_does_not", "a_deadlock_is_over_once_the_other_request_is_answered", "only_shared_ids_in_opposite_order_cross"])),
    ("poison", "one event in two requests at once is a fault of the sender", By(&["an_id_in_two_requests_at_once_is_noticed"])),

    ("limits", "10 MiB a body", By(&["a_body_over_the_limit_is_413_and_one_at_the_limit_is_not"])),
    ("limits", "4,681 rows of events by meters", By(&["more_than_4681_meter_rows_are_a_500"])),
    ("limits", "32,767 events", By(&["more_than_32767_events_are_a_500"])),
    ("limits", "a length is required", By(&["a_chunked_body_is_411"])),
    ("limits", "no compression", By(&["a_compressed_body_is_400"])),
    ("limits", "no slash at the end of ingest, one at the end of collections", By(&["a_trailing_slash_is_redirected_with_307", "the_slash_at_the_end_of_a_collection_is_asked_for_by_307"])),
    ("limits", "an empty list is fine", By(&["an_empty_list_inserts_nothing_and_missing_events_are_422"])),
    ("limits", "JSON must be called JSON", By(&["a_wrong_content_type_is_422_at_the_body"])),

    ("connections", "a request that is whole is committed even when its sender has gone", By(&["a_connection_cut_by_the_sender_still_commits", "a_body_cut_short_commits_nothing"])),
    ("connections", "of equal ids in a batch the first wins, and contents are not compared", By(&["an_external_id_is_unique_and_the_first_wins_whatever_it_carries", "an_event_is_corrected_by_another_one_and_by_nothing_else"])),
    ("connections", "a request costs time, and so does every event", By(&["an_answer_can_take_longer_the_more_events_it_is_about"])),
    ("connections", "how much processor time it costs at Polar", Not("takes no more time than it needs")),

    ("answers", "401, with and without a token", By(&["no_token_is_401_unauthorized", "a_token_polar_does_not_know_is_401_invalid_token", "accepted_tokens_can_be_changed_while_it_runs"])),
    ("answers", "403 names the scope", By(&["a_token_without_the_scope_is_403_and_says_which_is_missing"])),
    ("answers", "404 for a wrong address", By(&["anything_else_under_v1_is_404"])),
    ("answers", "redirects", By(&["a_trailing_slash_is_redirected_with_307", "a_redirect_to_another_host_can_be_scripted_and_commits_nothing"])),
    ("answers", "411 and 413", By(&["a_chunked_body_is_411", "a_body_over_the_limit_is_413_and_one_at_the_limit_is_not"])),
    ("answers", "429 without body or type, and an upper bound to wait", By(&["over_the_rate_limit_is_429_without_a_body_or_a_type_until_the_minute_is_over"])),
    ("answers", "5xx of any kind", By(&["the_next_replies_can_be_scripted_and_then_polar_answers_again"])),

    ("rate", "one-minute windows: 500, 100, 60", By(&["over_the_rate_limit_is_429_without_a_body_or_a_type_until_the_minute_is_over", "production_lets_exactly_500_through_in_a_minute"])),
    ("rate", "10 in a restricted sandbox, 100 a second elevated", By(&["a_restricted_sandbox_has_10_a_minute_and_an_elevated_organization_100_a_second"])),
    ("rate", "shared by all tokens and all endpoints", By(&["the_window_is_shared_by_all_tokens_of_the_organization", "over_the_rate_limit_is_429_without_a_body_or_a_type_until_the_minute_is_over"])),
    ("rate", "a fresh token's burst", By(&["a_burst_of_first_requests_with_a_fresh_token_is_refused_at_60", "a_burst_of_first_requests_of_a_fresh_token_is_refused_at_60"])),
    ("rate", "an abused endpoint blocks the organization", By(&["a_blocked_organization_is_429_everywhere_with_a_falling_retry_after"])),
    ("rate", "which endpoints those are", Not("Which endpoints")),

    ("money", "credits are negative usage: 10, 7, -1", By(&["a_grant_of_10_and_uses_of_3_and_8_leave_10_then_7_then_minus_1"])),
    ("money", "seen only after a while", By(&["a_balance_moves_a_while_after_the_customers_last_event", "an_event_that_no_meter_counts_puts_the_balance_off_too"])),
    ("money", "at the latest 180 minutes after the first event", By(&["a_busy_customers_balance_moves_after_180_minutes_all_the_same"])),
    ("money", "billing periods go by arrival", Not("billing periods")),
    ("money", "an empty balance blocks nothing", By(&["usage_beyond_the_balance_is_accepted"])),
    ("money", "events can be neither changed nor deleted", By(&["an_event_is_corrected_by_another_one_and_by_nothing_else"])),
    ("money", "the restore of June 2026", By(&["a_restored_polar_has_lost_exactly_what_it_answered_after_the_snapshot", "a_restored_snapshot_has_forgotten_what_was_answered_since", "what_a_restore_took_back_is_listed_until_it_is_sent_again"])),

    ("endpoints", "meters are created and listed", By(&["a_grant_of_10_and_uses_of_3_and_8_leave_10_then_7_then_minus_1", "meters_are_listed_with_filter_and_aggregation", "a_filter_may_join_conditions_on_metadata_and_a_count_counts"])),
    ("endpoints", "customers are created, with an address that can be one", By(&["an_email_that_cannot_be_one_is_refused", "a_customer_is_only_created_once"])),
    ("endpoints", "whether an address's domain takes mail", Not("looks no domain up")),
    ("endpoints", "customers and their state by either id", By(&["customers_are_read_by_either_id_and_their_state_shows_their_meters"])),
    ("endpoints", "customer meters by either id", By(&["customer_meters_are_found_by_either_id"])),
    ("endpoints", "events are listed without external_id", By(&["listed_events_carry_no_external_id_and_come_in_pages"])),
    ("endpoints", "objects have the fields Polar describes", By(&["objects_have_every_field_polars_description_requires"])),

    ("clients", "all read this one answer, each asks in its own way", By(&["every_client_gets_the_one_answer_they_all_can_read"])),
    ("clients", "connections are kept", By(&["a_connection_is_kept_between_requests", "several_requests_go_over_one_connection"])),
    ("clients", "two slashes", By(&["two_slashes_before_v1_are_as_good_as_one"])),
    ("clients", "Bearer undefined", By(&["a_token_polar_does_not_know_is_401_invalid_token"])),
    ("clients", "one event a request, without id or time", By(&["one_request_an_event_without_an_id_or_a_time_counts_every_time"])),
    ("clients", "numbers as JavaScript writes them", By(&["numbers_are_kept_in_the_very_characters_they_came_in"])),
    ("clients", "what each does when Polar is away", Not("What an SDK does")),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all tests of the simulator, here and beside its code.
fn tests() -> BTreeSet<String> {
    let texts = ["tests/it/simulator", "src/simulator"].into_iter().flat_map(sources);
    texts.flat_map(|(_, text)| tests_of(&text)).collect()
}

/// Functions right below a test attribute; an ignored test has another attribute between.
fn tests_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        let is_test = pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test");
        let signature = pair[1].trim_start_matches("async ");
        if let (true, Some(name)) = (is_test, signature.strip_prefix("fn ")) {
            names.push(name.split('(').next().unwrap().to_owned());
        }
    }
    names
}

#[test]
fn every_fact_is_held_by_tests_that_exist_or_named_in_the_documentation() {
    let tests = tests();
    assert!(tests.len() > 80, "only {} tests were found", tests.len());
    let document = fs::read_to_string(root().join("docs/simulator.md")).unwrap().replace('\n', " ");
    let mut faults = Vec::new();
    for (part, fact, held) in FACTS {
        match held {
            By([]) => faults.push(format!("{part}: {fact}: no test")),
            By(names) => {
                let missing = names.iter().filter(|name| !tests.contains(**name));
                faults.extend(missing.map(|name| format!("{part}: {fact}: there is no test {name}")));
            }
            Not(phrase) if document.contains(phrase) => {}
            Not(phrase) => faults.push(format!("{part}: {fact}: docs/simulator.md does not say {phrase:?}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_part_of_what_is_known_is_left_out_and_no_fact_is_listed_twice() {
    for part in PARTS {
        assert!(FACTS.iter().any(|(of, ..)| *of == part), "{part}");
    }
    assert!(FACTS.iter().all(|(of, ..)| PARTS.contains(of)));
    let distinct: BTreeSet<_> = FACTS.iter().map(|(part, fact, _)| (part, fact)).collect();
    assert_eq!(distinct.len(), FACTS.len());
}

#[test]
fn an_ignored_test_and_a_function_that_is_none_hold_nothing() {
    let text = "#[test]\nfn one() {}\n#[tokio::test(start_paused = true)]\nasync fn two() {}\n#[test]\n#[ignore]\nfn three() {}\nfn four() {}";
    assert_eq!(tests_of(text), ["one", "two"]);
}
