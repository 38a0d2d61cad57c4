package examples.essay_test

import data.examples.essay

asking(class_id, verb, type) := {
	"principal": {"class_id": class_id},
	"action": {"verb": verb, "type": type},
}

payment_agent := "spiffe://your-org/finance/payment-agent"

test_the_payment_agent_may_read_transactions if {
	essay.result == {
		"allow": true,
		"reasons": set(),
		"policy": "finance-prod-v2.3",
	} with input as asking(payment_agent, "read", "transactions")
}

test_nobody_may_delete_transactions if {
	every class_id in [payment_agent, "spiffe://your-org/finance/orchestrator", ""] {
		essay.result.reasons == {"not_granted", "action_forbidden"} with input as asking(class_id, "delete", "transactions")
	}
}

test_another_agent_may_not_read_transactions if {
	essay.result.reasons == {"not_granted"} with input as asking("spiffe://your-org/finance/other", "read", "transactions")
}

test_another_action_is_not_granted if {
	essay.result.reasons == {"not_granted"} with input as asking(payment_agent, "write", "transactions")
}

test_another_type_may_be_deleted_only_by_who_was_granted_it if {
	essay.result.reasons == {"not_granted"} with input as asking(payment_agent, "delete", "drafts")
}

test_a_missing_field_denies if {
	essay.result.allow == false with input as {}
	essay.result.allow == false with input as {"principal": {"class_id": payment_agent}}
	essay.result.allow == false with input as {"action": {"verb": "read", "type": "transactions"}}
	essay.result.reasons == {"not_granted", "action_forbidden"} with input as {}
}
