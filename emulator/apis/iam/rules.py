"""HTTP rules of google.iam.admin.v1.IAM, from Google's discovery document."""

from __future__ import annotations

from typing import Final

from emulator.wire.library import HttpRule

_ACCOUNT: Final = "projects/*/serviceAccounts/*"
_ROLE: Final = "projects/*/roles/*"


def _post(uri: str) -> tuple[HttpRule, ...]:
    return (HttpRule("POST", uri, "*"),)


RULES: Final = {
    "list_service_accounts": (HttpRule("GET", "/v1/{name=projects/*}/serviceAccounts"),),
    "create_service_account": _post("/v1/{name=projects/*}/serviceAccounts"),
    "get_service_account": (HttpRule("GET", f"/v1/{{name={_ACCOUNT}}}"),),
    "update_service_account": (HttpRule("PUT", f"/v1/{{name={_ACCOUNT}}}", "*"),),
    "patch_service_account": (HttpRule("PATCH", f"/v1/{{service_account.name={_ACCOUNT}}}", "*"),),
    "delete_service_account": (HttpRule("DELETE", f"/v1/{{name={_ACCOUNT}}}"),),
    "undelete_service_account": _post(f"/v1/{{name={_ACCOUNT}}}:undelete"),
    "enable_service_account": _post(f"/v1/{{name={_ACCOUNT}}}:enable"),
    "disable_service_account": _post(f"/v1/{{name={_ACCOUNT}}}:disable"),
    "list_service_account_keys": (HttpRule("GET", f"/v1/{{name={_ACCOUNT}}}/keys"),),
    "get_iam_policy": (HttpRule("POST", f"/v1/{{resource={_ACCOUNT}}}:getIamPolicy"),),
    "set_iam_policy": _post(f"/v1/{{resource={_ACCOUNT}}}:setIamPolicy"),
    "test_iam_permissions": _post(f"/v1/{{resource={_ACCOUNT}}}:testIamPermissions"),
    "query_grantable_roles": _post("/v1/roles:queryGrantableRoles"),
    "query_testable_permissions": _post("/v1/permissions:queryTestablePermissions"),
    "list_roles": (
        HttpRule("GET", "/v1/roles"),
        HttpRule("GET", "/v1/{parent=projects/*}/roles"),
    ),
    "get_role": (HttpRule("GET", "/v1/{name=roles/*}"), HttpRule("GET", f"/v1/{{name={_ROLE}}}")),
    "create_role": _post("/v1/{parent=projects/*}/roles"),
    "update_role": (HttpRule("PATCH", f"/v1/{{name={_ROLE}}}", "role"),),
    "delete_role": (HttpRule("DELETE", f"/v1/{{name={_ROLE}}}"),),
    "undelete_role": _post(f"/v1/{{name={_ROLE}}}:undelete"),
}
