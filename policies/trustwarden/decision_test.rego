package trustwarden.decision_test

import data.trustwarden.decision

agent := {
	"kind": "agent",
	"id": "spiffe://acme.test/team/finance/payment-agent/inst-01J0000000000000000000000A",
	"class_id": "spiffe://acme.test/team/finance/payment-agent",
	"owner_id": "own_1",
	"custody": "agent",
	"roles": [],
}

other(kind) := {"kind": kind, "id": kind, "class_id": "", "owner_id": "", "custody": "none", "roles": []}

named(name) := {"name": name, "verb": parts[0], "type": parts[1], "path": path} if {
	parts := split(name, ":")
	path := concat("", array.slice(parts, 2, 3))
}

reading := {
	"action": named("read:transactions:2026/march"),
	"resource": "postgres://finance-db/transactions",
	"class": "C",
	"plane": "data",
	"subject": "none",
	"enforcement": "service",
	"principal": agent,
	"agent": {
		"attested": {"type": "node", "strength": "unix", "selectors": ["node:host-1", "unix:uid:1000"]},
		"composition_sha256": "",
	},
	"chain": ["agt_1", "agt_2"],
	"scope": {"covered": true, "links": 2},
	"view": {"fresh": true, "epoch": 7},
	"arguments": {},
	"labels": [],
	"outside": false,
	"frozen": false,
	"approved": false,
}

controlling(principal, name, subject) := object.union(reading, {
	"action": named(name),
	"class": "A",
	"plane": "control",
	"subject": subject,
	"principal": principal,
	"chain": [],
	"scope": {"covered": false, "links": 0},
})

with_action(name, class) := object.union(reading, {"action": named(name), "class": class})

at_place(name, place) := object.union(with_action(name, "B"), {"enforcement": place})

reasons_for(case) := reasons if {
	reasons := decision.result.reasons with input as case
}

test_a_covered_action_on_a_fresh_view_is_allowed if {
	decision.result == {"allow": true, "reasons": set(), "policy": "trustwarden-builtin-v1"} with input as reading
}

test_a_denial_names_the_policy_too if {
	decision.result == {
		"allow": false,
		"reasons": {"view_stale"},
		"policy": "trustwarden-builtin-v1",
	} with input as object.union(reading, {"view": {"fresh": false}})
}

test_an_empty_input_is_denied if {
	decision.result.allow == false with input as {}
}

test_leaving_out_any_member_denies if {
	paths := [concat("/", path) |
		some path, value
		walk(reading, [path, value])
		count(path) > 0
		is_string(path[count(path) - 1])
	]
	count(paths) > 20
	every path in paths {
		decision.result.allow == false with input as json.remove(reading, [path])
	}
}

test_a_null_in_place_of_any_leaf_denies if {
	leaves := [concat("/", array.concat([""], [sprintf("%v", [step]) | some step in path])) |
		some path, value
		walk(reading, [path, value])
		not is_object(value)
	]
	count(leaves) > 18
	every leaf in leaves {
		decision.result.allow == false with input as json.patch(reading, [{"op": "replace", "path": leaf, "value": null}])
	}
}

test_each_malformed_member_is_named_so if {
	changes := [
		{"resource": 7},
		{"view": {"epoch": "7"}},
		{"subject": "everyone"},
		{"enforcement": "nowhere"},
		{"principal": {"custody": "lost"}},
		{"principal": {"id": 7}},
		{"principal": {"class_id": 7}},
		{"principal": {"owner_id": 7}},
		{"agent": {"attested": {"type": 7}}},
		{"agent": {"attested": {"strength": "sure"}}},
		{"agent": {"attested": {"selectors": "unix:uid:1000"}}},
		{"agent": {"attested": {"selectors": {"a": "unix:uid:1000"}}}},
		{"agent": {"attested": {"selectors": ["unix:uid:1000", 7]}}},
		{"agent": {"composition_sha256": 7}},
		{"arguments": []},
		{"labels": {"a": "private"}},
		{"labels": ["private", 7]},
		{"outside": "no"},
		{"frozen": "no"},
		{"approved": "no"},
		{"chain": ["agt_1", 7]},
		{"chain": ["agt_1"]},
		{"action": {"path": "2026/april"}},
		{"action": {"path": ""}},
		{"action": {"type": "reports"}},
		{"action": {"name": "read:transactions"}},
	]
	every change in changes {
		"policy_input_malformed" in reasons_for(object.union(reading, change))
	}
}

test_every_custody_is_known if {
	every custody in ["agent", "delivered", "sidecar", "none"] {
		reasons_for(object.union(reading, {"principal": {"custody": custody}})) == set()
	}
}

test_every_strength_is_known if {
	every strength in ["none", "same_uid", "unix", "launcher", "network"] {
		reasons_for(object.union(reading, {"agent": {"attested": {"strength": strength}}})) == set()
	}
}

test_an_action_without_a_path_is_well_formed if {
	reasons_for(with_action("read:transactions", "C")) == set()
}

test_an_empty_path_is_not_spelt_with_a_colon if {
	action := object.union(named("read:transactions"), {"name": "read:transactions:"})
	"policy_input_malformed" in reasons_for(object.union(reading, {"action": action}))
}

test_the_class_may_be_stricter_than_the_data_asks_and_not_laxer if {
	reasons_for(with_action("read:transactions", "A")) == set()
	reasons_for(with_action("read:transactions", "B")) == set()
	reasons_for(with_action("write:transactions", "B")) == set()
	reasons_for(with_action("write:transactions", "C")) == {"class_too_lax"}
	reasons_for(with_action("delete:transactions", "A")) == set()
	reasons_for(with_action("delete:transactions", "B")) == {"class_too_lax"}
	reasons_for(with_action("reed:transactions", "A")) == set()
	reasons_for(with_action("reed:transactions", "B")) == {"class_too_lax"}
	reasons_for(with_action("read:secret", "C")) == {"class_too_lax"}
	"class_too_lax" in reasons_for(with_action("read:transactions", "Z"))
}

test_a_class_that_the_data_misspells_denies if {
	"class_too_lax" in reasons_for(reading) with data.policy.classes as {"read": "c"}
}

test_absent_classes_deny if {
	"class_too_lax" in reasons_for(reading) with data.policy.classes as null
}

test_a_forbidden_name_is_denied_whatever_the_scope if {
	reasons_for(reading) == {"action_forbidden"} with data.policy.forbidden as ["read:transactions:2026/march"]
	reasons_for(reading) == {"action_forbidden"} with data.policy.forbidden as ["pay:bills", "read:transactions"]
	reasons_for(reading) == set() with data.policy.forbidden as ["read:transactions:2026/april", "read:reports"]
}

test_an_absent_list_of_forbidden_actions_denies if {
	reasons_for(reading) == {"action_forbidden"} with data.policy.forbidden as null
}

test_a_stale_view_denies_even_reads if {
	reasons_for(object.union(reading, {"view": {"fresh": false}})) == {"view_stale"}
}

test_stopping_goes_on_with_a_stale_view if {
	stale := {"view": {"fresh": false}}
	reasons_for(object.union(controlling(other("operator"), "revoke:agent", "none"), stale)) == set()
	reasons_for(object.union(controlling(other("operator"), "stop:server", "none"), stale)) == set()
	reasons_for(object.union(controlling(other("operator"), "create:owner", "none"), stale)) == {"view_stale"}
	reasons_for(object.union(with_action("revoke:invoice", "A"), stale)) == {"view_stale"}
}

test_class_a_is_not_enforced_by_the_agent_itself if {
	self := {"enforcement": "self"}
	gateway := {"enforcement": "gateway"}
	reasons_for(object.union(with_action("pay:bills", "A"), self)) == {"self_enforcement_refused"}
	reasons_for(object.union(with_action("pay:bills", "A"), gateway)) == set()
	reasons_for(object.union(with_action("pay:bills", "A"), {"enforcement": "service"})) == set()
	reasons_for(object.union(with_action("write:reports", "B"), self)) == set()
	reasons_for(object.union(with_action("read:reports", "C"), self)) == set()
}

test_a_freeze_denies_what_changes_the_world_and_no_approval_lifts_it if {
	frozen := {"frozen": true}
	reasons_for(object.union(with_action("read:reports", "C"), frozen)) == set()
	reasons_for(object.union(with_action("write:reports", "B"), frozen)) == {"frozen"}
	reasons_for(object.union(with_action("pay:bills", "A"), frozen)) == {"frozen"}
	reasons_for(object.union(with_action("pay:bills", "A"), {"frozen": true, "approved": true})) == {"frozen"}
	reasons_for(object.union(with_action("pay:bills", "A"), {"frozen": false})) == set()
}

test_a_job_that_read_what_is_untrusted_and_what_is_private_carries_nothing_outside if {
	outside := object.union(with_action("send:mail", "B"), {"outside": true})
	reasons_for(outside) == set()
	reasons_for(object.union(outside, {"labels": ["untrusted"]})) == set()
	reasons_for(object.union(outside, {"labels": ["private"]})) == set()
	reasons_for(object.union(outside, {"labels": ["other", "private"]})) == set()
	reasons_for(object.union(outside, {"labels": ["private", "untrusted"]})) == {"tainted"}
	reasons_for(object.union(outside, {"labels": ["other", "private", "untrusted"]})) == {"tainted"}
	reasons_for(object.union(outside, {"labels": ["private", "untrusted"], "outside": false})) == set()
	reasons_for(object.union(outside, {"labels": ["private", "untrusted"], "approved": true})) == set()
	reading_outside := object.union(with_action("fetch:page", "C"), {"outside": true})
	reasons_for(object.union(reading_outside, {"labels": ["private", "untrusted"]})) == {"tainted"}
}

test_absent_taint_data_carries_nothing_outside if {
	outside := object.union(with_action("send:mail", "B"), {"outside": true})
	reasons_for(outside) == {"tainted"} with data.policy.taint as null
	reasons_for(outside) == {"tainted"} with data.policy.taint as []
	reasons_for(reading) == set() with data.policy.taint as null
}

test_what_destroys_waits_for_a_human_at_the_gateway if {
	gateway := {"enforcement": "gateway"}
	every name in ["delete:rows", "drop:table:reports", "destroy:volume"] {
		reasons_for(object.union(with_action(name, "A"), gateway)) == {"approval_required"}
		reasons_for(object.union(with_action(name, "A"), {"enforcement": "gateway", "approved": true})) == set()
		reasons_for(with_action(name, "A")) == set()
	}
	reasons_for(object.union(with_action("write:rows", "B"), gateway)) == set()
}

test_the_data_says_who_asks_where_and_the_more_exact_name_wins if {
	asks := {"write": {"at": ["service", "self"], "why": "x"}, "write:cache": {"at": [], "why": "x"}}
	reasons_for(at_place("write:rows", "service")) == {"approval_required"} with data.policy.asks as asks
	reasons_for(at_place("write:rows", "self")) == {"approval_required"} with data.policy.asks as asks
	reasons_for(at_place("write:rows", "gateway")) == set() with data.policy.asks as asks
	reasons_for(at_place("write:cache", "service")) == set() with data.policy.asks as asks
	reasons_for(at_place("send:rows", "service")) == set() with data.policy.asks as asks
}

test_absent_or_odd_data_about_asking_asks if {
	reasons_for(reading) == {"approval_required"} with data.policy.asks as null
	reasons_for(reading) == {"approval_required"} with data.policy.asks as {"read": {"why": "x"}}
	reasons_for(reading) == {"approval_required"} with data.policy.asks as {"read": "gateway"}
}

test_nobody_is_asked_about_the_control_plane if {
	asks := {"create": {"at": ["service"], "why": "x"}}
	reasons_for(controlling(other("operator"), "create:owner", "none")) == set() with data.policy.asks as asks
}

test_an_action_outside_the_scope_of_any_link_is_denied if {
	reasons_for(object.union(reading, {"scope": {"covered": false}})) == {"scope_not_covered"}
}

test_an_empty_chain_covers_nothing if {
	reasons_for(object.union(reading, {"chain": [], "scope": {"links": 0}})) == {"scope_not_covered"}
}

test_coverage_and_freshness_are_said_even_where_neither_is_needed if {
	stop := controlling(other("operator"), "stop:server", "none")
	every change in [
		{"scope": {"covered": "no"}},
		{"scope": {"covered": null}},
		{"view": {"fresh": "no"}},
		{"view": {"fresh": null}},
	] {
		reasons_for(object.union(stop, change)) == {"policy_input_malformed"}
	}
}

test_only_agents_act_in_the_data_plane if {
	every kind in ["enrollee", "owner", "operator", "verifier", "node", "admin", ""] {
		reasons_for(object.union(reading, {"principal": other(kind)})) == {"principal_not_permitted"}
	}
}

test_an_unknown_plane_permits_nobody if {
	every kind in ["agent", "enrollee", "owner", "operator", "verifier", "node"] {
		case := object.union(reading, {"plane": "astral", "principal": object.union(agent, {"kind": kind})})
		reasons_for(case) == {"principal_not_permitted"}
	}
}

# Who may do what in the control plane, to whom: this table is the whole truth, and the test is exhaustive.
permitted_table := {
	"enrollee": {
		"issue:instance": {"self", "none"},
		"issue:node": {"self", "none"},
		"create:person": {"self", "none"},
		"create:claim": {"self", "none"},
		"read:claim": {"self", "none"},
	},
	"agent": {
		"renew:svid": {"self"},
		"issue:jwt-svid": {"self"},
		"hold:lease": {"self"},
		"read:gateway": {"self"},
		"issue:access-token": {"self"},
		"read:access-token": {"self"},
		"revoke:access-token": {"self"},
		"create:approval": {"self"},
		"read:approvals": {"self"},
		"revoke:instance": {"self", "descendant"},
		"read:ledger": {"self", "descendant"},
		"narrow:instance": {"descendant"},
		"act:outcome": {"self", "none"},
	},
	"owner": {
		"revoke:instance": {"self", "descendant"},
		"revoke:agent": {"self", "descendant"},
		"revoke:owner": {"self", "descendant"},
		"narrow:instance": {"self", "descendant"},
		"read:agents": {"self", "descendant"},
		"read:ledger": {"self", "descendant"},
		"create:entry": {"self", "descendant"},
		"read:entries": {"self", "descendant"},
		"remove:entry": {"self", "descendant"},
		"read:approvals": {"self", "descendant"},
		"answer:approval": {"self", "descendant"},
		"transfer:agent": {"self", "descendant"},
		"read:claim": {"self", "descendant"},
		"claim:agent": {"self", "descendant"},
	},
	"node": {
		"hold:lease": {"self", "none"},
		"read:entries": {"self", "none"},
		"renew:svid": {"self", "none", "descendant"},
		"issue:instance": {"descendant"},
		"issue:jwt-svid": {"descendant"},
		"revoke:instance": {"descendant"},
	},
	"verifier": {
		"hold:lease": {"self", "none"},
		"ask:decision": {"self", "none"},
		"record:outcome": {"self", "none"},
		"renew:svid": {"self", "none"},
		"read:access-token": {"self", "none"},
	},
	"operator": {name: {"self", "descendant", "other", "none"} |
		some name in {
			"create:owner", "create:person", "create:verifier-ticket", "create:join-token", "create:entry", "remove:entry",
			"read:entries", "revoke:instance", "revoke:agent", "revoke:owner",
			"narrow:instance", "read:agents", "read:ledger", "read:gateway", "stop:server",
			"read:access-token", "revoke:access-token",
			"create:approval", "read:approvals", "update:policy", "create:claim", "read:claim",
		}
	},
	"nobody": {},
}

every_name := {name | some kind; permitted_table[kind][name]} | {"delete:ledger", "issue:instance:more", "grant:owner"}

test_the_control_plane_permits_the_table_and_nothing_else if {
	every kind, row in permitted_table {
		every name in every_name {
			every subject in {"self", "descendant", "other", "none"} {
				expected := {"principal_not_permitted" | not subject in object.get(row, name, set())}
				reasons_for(controlling(other(kind), name, subject)) == expected
			}
		}
	}
}

person(roles) := object.union(other("person"), {"roles": roles})

wide := {"auditor", "operator", "admin"}

# One of each kind: everybody's, an owner's, a reader's, an operator's, an admin's, and nobody's.
person_names := {
	"read:session", "narrow:instance", "read:status", "update:budget",
	"create:link", "renew:svid", "delete:ledger",
}

test_a_person_may_do_what_the_data_names_for_its_roles_and_nothing_else if {
	every role in {"owner", "auditor", "operator", "admin"} {
		every name in person_names {
			every subject in {"self", "other"} {
				expected := {"principal_not_permitted" | not person_may(role, name, subject)}
				reasons_for(controlling(person([role]), name, subject)) == expected
			}
		}
	}
}

test_an_owner_who_is_a_person_reaches_what_is_below_it if {
	reasons_for(controlling(person(["owner"]), "revoke:instance", "descendant")) == set()
	reasons_for(controlling(person(["owner"]), "revoke:instance", "none")) == {"principal_not_permitted"}
	reasons_for(controlling(person(["owner", "auditor"]), "read:agents", "none")) == set()
}

test_what_a_person_may_is_permitted_in_no_other_plane if {
	every role, name in {"owner": "revoke:instance", "admin": "create:link", "auditor": "read:session"} {
		case := object.union(controlling(person([role]), name, "self"), {"plane": "astral"})
		not decision.permitted with input as case
	}
}

person_may(role, name, subject) if {
	role in wide
	name in data.policy.roles[role]
	subject != ""
}

person_may("owner", name, subject) if {
	name in data.policy.roles.owner
	subject in {"self", "descendant"}
}

person_may(_, name, "self") if name in data.policy.roles.anybody

test_a_person_without_a_role_has_only_its_own_session if {
	reasons_for(controlling(person([]), "read:session", "self")) == set()
	every name in {"read:agents", "revoke:instance", "create:owner"} {
		reasons_for(controlling(person([]), name, "self")) == {"principal_not_permitted"}
	}
}

test_roles_give_nothing_to_anybody_but_a_person if {
	every kind in ["agent", "enrollee", "owner", "verifier", "node", "nobody"] {
		every role, name in {"owner": "remove:entry", "admin": "create:link", "auditor": "read:session"} {
			case := controlling(object.union(other(kind), {"roles": [role]}), name, "none")
			reasons_for(case) == {"principal_not_permitted"}
		}
	}
	every name in ["read:session", "narrow:instance"] {
		case := controlling(object.union(other("verifier"), {"roles": ["owner"]}), name, "self")
		reasons_for(case) == {"principal_not_permitted"}
	}
}

test_a_word_that_is_no_role_gives_nothing if {
	every role in {"anybody", "root", "owner "} {
		reasons_for(controlling(person([role]), "read:session", "none")) == {"principal_not_permitted"}
	}
}

test_absent_data_about_roles_permits_no_person if {
	case := controlling(person(["admin"]), "read:agents", "none")
	reasons_for(case) == set()
	reasons_for(case) == {"principal_not_permitted"} with data.policy.roles as {}
	reasons_for(case) == {"principal_not_permitted"} with data.policy.roles as null
}

test_an_admin_may_not_act_as_an_agent if {
	every name in ["renew:svid", "issue:instance", "issue:jwt-svid", "act:outcome", "hold:lease", "record:outcome"] {
		reasons_for(controlling(person(["admin"]), name, "none")) == {"principal_not_permitted"}
	}
	reasons_for(object.union(reading, {"principal": person(["admin"])})) == {"principal_not_permitted"}
}

test_what_the_control_plane_permits_is_permitted_in_no_other_plane if {
	every kind, row in permitted_table {
		every name, subjects in row {
			some subject in subjects
			case := object.union(controlling(other(kind), name, subject), {"plane": "astral"})
			not decision.permitted with input as case
		}
	}
}

test_a_policy_without_a_name_answers_nothing if {
	not decision.result with input as reading with data.policy as {}
}

test_text_of_other_languages_stays_text if {
	case := object.union(reading, {"resource": "x\" } allow := true { true", "principal": {"owner_id": "data.policy"}})
	reasons_for(case) == set()
	reasons_for(object.union(case, {"scope": {"covered": false}})) == {"scope_not_covered"}
}
