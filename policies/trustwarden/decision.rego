# METADATA
# title: The built-in decision
# description: |
#   May this principal do this action? Scope coverage, freshness of the revocation view and the class are facts of the
#   input, decided before by the guard; this policy demands them again, so that it denies on its own.
#
#   A deny whose field is missing is undefined in Rego and would let the action through. So every reason to deny is
#   written as `not <positive helper>`: what is not proven is denied, and a missing field proves nothing.
package trustwarden.decision

# METADATA
# title: The answer
# description: Undefined, and so a deny for every caller, when the policy data has no name.
# entrypoint: true
result := {
	"allow": allow,
	"reasons": reasons,
	"policy": concat("-", [data.policy.name, data.policy.version]),
}

default allow := false

allow if count(reasons) == 0

reasons contains "policy_input_malformed" if not well_formed

reasons contains "class_too_lax" if not class_holds

reasons contains "action_forbidden" if not forbidden_by_nothing

reasons contains "view_stale" if not view_holds

reasons contains "self_enforcement_refused" if not enforcement_holds

reasons contains "scope_not_covered" if not scope_holds

reasons contains "principal_not_permitted" if not permitted

reasons contains "frozen" if not freeze_holds

reasons contains "tainted" if not taint_holds

reasons contains "approval_required" if not approval_holds

# Every member is named here, so that leaving any of them out denies.
well_formed if {
	action_is_one_name
	is_string(input.resource)
	is_boolean(input.view.fresh)
	is_number(input.view.epoch)
	is_boolean(input.scope.covered)
	input.subject in {"self", "descendant", "other", "none"}
	input.enforcement in {"gateway", "service", "self"}
	agent_is_described
	context_is_described
	input.principal.custody in {"agent", "delivered", "sidecar", "none"}
	is_array(input.principal.roles)
	is_string(input.principal.id)
	is_string(input.principal.class_id)
	is_string(input.principal.owner_id)
	count(input.chain) == input.scope.links
	every agent_id in input.chain {
		is_string(agent_id)
	}
}

# A policy of one's own may ask for more than that it is there, such as a strength of at least `unix`.
agent_is_described if {
	is_string(input.agent.attested.type)
	input.agent.attested.strength in {"none", "same_uid", "unix", "launcher", "network"}
	is_array(input.agent.attested.selectors)
	is_string(input.agent.composition_sha256)
	every selector in input.agent.attested.selectors {
		is_string(selector)
	}
}

# Labels of one's own are for policies of one's own; what the data names is what the taint rule looks at.
context_is_described if {
	is_object(input.arguments)
	is_boolean(input.outside)
	is_boolean(input.frozen)
	is_boolean(input.approved)
	is_array(input.labels)
	every label in input.labels {
		is_string(label)
	}
}

action_is_one_name if {
	input.action.path == ""
	input.action.name == verb_and_type
}

action_is_one_name if {
	input.action.path != ""
	input.action.name == concat(":", [verb_and_type, input.action.path])
}

verb_and_type := concat(":", [input.action.verb, input.action.type])

# A is the strictest. A caller may treat an action more strictly than the data asks, never less.
class_holds if {
	rank := {"A": 3, "B": 2, "C": 1}
	rank[input.class] >= rank[least_class]
}

# What the data does not name is class A.
least_class := object.get(
	data.policy.classes,
	verb_and_type,
	object.get(data.policy.classes, input.action.verb, "A"),
)

# The list itself is demanded: an absent list would otherwise forbid nothing.
forbidden_by_nothing if {
	every pattern in data.policy.forbidden {
		pattern != input.action.name
		pattern != verb_and_type
	}
}

view_holds if input.view.fresh == true

# Stopping is never held up by a stale view: here the unsafe answer would be "wait".
view_holds if {
	input.plane == "control"
	input.action.verb in {"revoke", "stop"}
}

# Class A needs an enforcement point that is not the agent itself.
enforcement_holds if input.class in {"B", "C"}

enforcement_holds if input.enforcement in {"gateway", "service"}

# A freeze stops what changes the world; reading goes on, and nobody's approval lifts it.
freeze_holds if input.frozen == false

freeze_holds if input.class == "C"

# A job that has read both what strangers wrote and what is private carries nothing outside, in whatever order it read.
taint_holds if input.outside == false

taint_holds if input.approved == true

taint_holds if {
	some label in data.policy.taint
	not label in input.labels
}

# An action that the data asks a human about waits for one, at the enforcement points that the data names.
approval_holds if input.approved == true

approval_holds if input.plane == "control"

approval_holds if {
	asking := object.get(data.policy.asks, input.action.verb, {"at": []})
	asked_at := object.get(data.policy.asks, verb_and_type, asking).at
	every place in asked_at {
		place != input.enforcement
	}
}

scope_holds if {
	input.scope.covered == true
	input.scope.links > 0
}

# Actions of the control plane are not in any agent's scope; `permitted` names who may do which.
scope_holds if input.plane == "control"

permitted if {
	input.plane == "data"
	input.principal.kind == "agent"
}

permitted if {
	input.plane == "control"
	input.principal.kind == "enrollee"
	input.action.name in {"issue:instance", "issue:node", "create:person", "create:claim", "read:claim"}
	input.subject in {"self", "none"}
}

# Everybody who is logged in may see who it is, log out, and look after its own passkeys.
permitted if {
	input.plane == "control"
	input.principal.kind == "person"
	input.action.name in data.policy.roles.anybody
	input.subject == "self"
}

# A role that sees everybody's may do what the data names, whoever it is about.
permitted if {
	input.plane == "control"
	input.principal.kind == "person"
	some role in input.principal.roles
	role in {"auditor", "operator", "admin"}
	input.action.name in data.policy.roles[role]
}

# The role of an owner reaches as far as the owner that the person is.
permitted if {
	input.plane == "control"
	input.principal.kind == "person"
	"owner" in input.principal.roles
	input.action.name in data.policy.roles.owner
	input.subject in {"self", "descendant"}
}

permitted if {
	input.plane == "control"
	input.principal.kind == "agent"
	input.action.name in {
		"renew:svid",
		"issue:jwt-svid",
		"hold:lease",
		"issue:access-token",
		"read:access-token",
		"revoke:access-token",
		"read:gateway",
		"create:approval",
		"read:approvals",
	}
	input.subject == "self"
}

permitted if {
	input.plane == "control"
	input.principal.kind == "agent"
	input.action.name in {"revoke:instance", "read:ledger"}
	input.subject in {"self", "descendant"}
}

permitted if {
	input.plane == "control"
	input.principal.kind == "agent"
	input.action.name == "narrow:instance"
	input.subject == "descendant"
}

permitted if {
	input.plane == "control"
	input.principal.kind == "agent"
	input.action.name == "act:outcome"
	input.subject in {"self", "none"}
}

# An owner is the root of its own subtree.
permitted if {
	input.plane == "control"
	input.principal.kind == "owner"
	input.action.name in {
		"revoke:instance",
		"revoke:agent",
		"revoke:owner",
		"narrow:instance",
		"read:agents",
		"read:ledger",
		"create:entry",
		"read:entries",
		"remove:entry",
		"read:approvals",
		"answer:approval",
		"transfer:agent",
		"read:claim",
		"claim:agent",
	}
	input.subject in {"self", "descendant"}
}

permitted if {
	input.plane == "control"
	input.principal.kind == "verifier"
	input.action.name in {"hold:lease", "ask:decision", "record:outcome", "renew:svid", "read:access-token"}
	input.subject in {"self", "none"}
}

permitted if {
	input.plane == "control"
	input.principal.kind == "node"
	input.action.name in {"hold:lease", "read:entries", "renew:svid"}
	input.subject in {"self", "none"}
}

# Below a node are the entries that name it and the instances that it asked for.
permitted if {
	input.plane == "control"
	input.principal.kind == "node"
	input.action.name in {"issue:instance", "renew:svid", "issue:jwt-svid", "revoke:instance"}
	input.subject == "descendant"
}

# What only an agent, an enrollee or a verifier can do for itself is not on the operators' list.
permitted if {
	input.plane == "control"
	input.principal.kind == "operator"
	input.action.verb in data.policy.operator_verbs
}
