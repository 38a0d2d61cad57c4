# METADATA
# title: A custom policy
# description: |
#   What an operator loads with `warden policy load`. It stands beside the built-in policy and can only take away, or
#   ask for a human: what it allows still has to be in every scope of the chain. `input` is the built-in policy's.
package custom

# METADATA
# title: What agents do
# description: Small payments pass, larger ones wait for a human, very large ones are denied.
# entrypoint: true
result := {"allow": count(reasons) == 0, "reasons": reasons}

reasons contains "amount_too_large" if not payable

reasons contains "approval_required" if not approved_or_small

payable if input.action.verb != "pay"

payable if input.arguments.amount <= 10000

approved_or_small if input.action.verb != "pay"

approved_or_small if input.arguments.amount <= 100

approved_or_small if input.approved == true

# METADATA
# title: Subjects that are no agents
# description: AuthZEN asks about users of a records service; they are not TrustWarden's, so this alone decides.
# entrypoint: true
authzen if {
	known_user
	input.resource.type == "record"
	input.action.name == "read"
}

authzen if {
	input.subject.id == "alice"
	input.subject.type == "user"
	input.resource.type == "record"
	input.action.name == "write"
	not archived
}

authzen if {
	known_user
	input.subject.properties.role == "admin"
	input.resource.type == "record"
	input.action.name == "write"
}

authzen if {
	input.subject.id == "alice"
	input.subject.type == "user"
	input.resource.type == "record"
	input.action.name == "delete"
	input.action.properties.soft == true
}

known_user if {
	input.subject.type == "user"
	input.subject.id in users
}

archived if input.resource.properties.status == "archived"

archived if input.resource.properties.archived == true

# METADATA
# title: What a search looks at
# entrypoint: true
candidates := users if input.search == "subject"

candidates := ["record-1", "record-2"] if input.search == "resource"

candidates := ["delete", "read", "write"] if input.search == "action"

users := ["alice", "bob"]
