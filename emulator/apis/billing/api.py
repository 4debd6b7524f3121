"""google.cloud.billing.v1.CloudBilling (reads, and the account's policy) and CloudCatalog."""

from __future__ import annotations

from typing import Any

from google.cloud import billing_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2

from emulator.apis.billing.model import services, skus
from emulator.apis.iam.enforcement import held
from emulator.apis.iam.model import iam_state
from emulator.apis.iam.permissions import check_permissions
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page


class CloudBilling:
    """One open account, which pays for the one project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _account(self) -> Any:
        return billing_v1.BillingAccount(
            name=f"billingAccounts/{self._cloud.project.billing_account}", open_=True,
            display_name="Heartwood demo", currency_code="USD",
        )  # fmt: skip

    def list_billing_accounts(self, request: Any, call: Call) -> Any:
        """The account; filters on other master accounts find nothing."""
        accounts = [] if "master_billing_account=" in request.filter else [self._account()]
        items, token = page(
            accounts, request.page_size, request.page_token, scope="accounts", default=100, most=100
        )
        return billing_v1.ListBillingAccountsResponse(billing_accounts=items, next_page_token=token)

    def get_billing_account(self, request: Any, call: Call) -> Any:
        """The account by name."""
        self._known(request.name)
        return self._account()

    def get_iam_policy(
        self, request: iam_policy_pb2.GetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        """Who may do what with the account, beside those whom the project's policy lets."""
        name = self._known(request.resource, "resource")
        version = request.options.requested_policy_version
        return iam_state(self._cloud).policies.get(name, version)

    def set_iam_policy(
        self, request: iam_policy_pb2.SetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        """Replaces the account's policy."""
        name = self._known(request.resource, "resource")
        policies = iam_state(self._cloud).policies
        return policies.set(name, request.policy, request.update_mask.paths)

    def test_iam_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        """Those of the asked that the caller has on the account, or by the project's policy."""
        name = self._known(request.resource, "resource")
        check_permissions(request.permissions, service="billing")
        found = held(self._cloud, call, request.permissions, name)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=found)

    def _known(self, name: str, field: str = "name") -> str:
        found = parse_name("billingAccounts/{account}", name, field=field)
        if found["account"] != self._cloud.project.billing_account:
            raise ApiError("PERMISSION_DENIED", "The caller does not have permission")
        return name

    def _info(self) -> Any:
        project = self._cloud.project
        return billing_v1.ProjectBillingInfo(
            name=f"projects/{project.id}/billingInfo", project_id=project.id,
            billing_account_name=f"billingAccounts/{project.billing_account}",
            billing_enabled=True,
        )  # fmt: skip

    def get_project_billing_info(self, request: Any, call: Call) -> Any:
        """Who pays for the project."""
        given = parse_name("projects/{project}", request.name)["project"]
        check_project(self._cloud.project, given, service="cloudbilling.googleapis.com")
        return self._info()

    def list_project_billing_info(self, request: Any, call: Call) -> Any:
        """The projects that the account pays for."""
        self._known(request.name)
        return billing_v1.ListProjectBillingInfoResponse(project_billing_info=[self._info()])


class CloudCatalog:
    """Public list prices."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def list_services(self, request: Any, call: Call) -> Any:
        """Services that have SKUs here."""
        items, token = page(
            services(), request.page_size, request.page_token, scope="services", default=5000,
            most=5000,
        )  # fmt: skip
        return billing_v1.ListServicesResponse(services=items, next_page_token=token)

    def list_skus(self, request: Any, call: Call) -> Any:
        """SKUs of a service with their list prices in US dollars."""
        service = parse_name("services/{service}", request.parent, field="parent")["service"]
        if request.currency_code not in ("", "USD"):
            raise invalid("The emulator prices in USD alone.", field="currency_code")
        if all(s.service_id != service for s in services()):
            raise ApiError("NOT_FOUND", f"Service services/{service} was not found.")
        items, token = page(
            skus(service), request.page_size, request.page_token, scope=f"skus {service}",
            default=5000, most=5000,
        )  # fmt: skip
        return billing_v1.ListSkusResponse(skus=items, next_page_token=token)
