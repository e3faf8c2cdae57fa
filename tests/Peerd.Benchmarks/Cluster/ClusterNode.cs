using System.Globalization;
using System.Text.Json.Nodes;

namespace Peerd.Benchmarks.Cluster;

/// <summary>A node as the API server of a managed cluster tells it, with all that nobody here asks for: about 9 KiB of JSON.</summary>
internal static class ClusterNode
{
    private const int Images = 20;
    private const int Zones = 3;

    // Who has written which field: a third of it.
    private const string ManagedFields = """
        [
        {"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:volumes.kubernetes.io/controller-managed-attach-detach":{}},"f:labels":{".":{},"f:agentpool":{},"f:beta.kubernetes.io/arch":{},"f:beta.kubernetes.io/os":{},"f:kubernetes.azure.com/agentpool":{},"f:kubernetes.azure.com/cluster":{},"f:kubernetes.azure.com/mode":{},"f:kubernetes.azure.com/node-image-version":{},"f:kubernetes.azure.com/os-sku":{},"f:kubernetes.azure.com/role":{},"f:kubernetes.io/arch":{},"f:kubernetes.io/hostname":{},"f:kubernetes.io/os":{},"f:storageprofile":{}}}}},
        {"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:06Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{"f:node.alpha.kubernetes.io/ttl":{}}},"f:spec":{"f:podCIDR":{},"f:podCIDRs":{".":{},"v:\"10.244.0.0/24\"":{}}}}},
        {"manager":"node-problem-detector","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:07Z","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"ContainerRuntimeProblem\"}":{".":{},"f:lastHeartbeatTime":{},"f:lastTransitionTime":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}},"k:{\"type\":\"KernelDeadlock\"}":{".":{},"f:lastHeartbeatTime":{},"f:lastTransitionTime":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}}}}},"subresource":"status"},
        {"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:07Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{"f:csi.volume.kubernetes.io/nodeid":{}}},"f:status":{"f:allocatable":{"f:ephemeral-storage":{}},"f:conditions":{"k:{\"type\":\"DiskPressure\"}":{"f:lastHeartbeatTime":{}},"k:{\"type\":\"MemoryPressure\"}":{"f:lastHeartbeatTime":{}},"k:{\"type\":\"PIDPressure\"}":{"f:lastHeartbeatTime":{}},"k:{\"type\":\"Ready\"}":{"f:lastHeartbeatTime":{},"f:lastTransitionTime":{},"f:message":{},"f:reason":{},"f:status":{}}},"f:images":{}}},"subresource":"status"}
        ]
        """;

    private static readonly (string Type, string Healthy, string Reason)[] Conditions =
    [
        ("KernelDeadlock", "False", "KernelHasNoDeadlock"), ("ReadonlyFilesystem", "False", "FilesystemIsNotReadOnly"),
        ("ContainerRuntimeProblem", "False", "ContainerRuntimeIsUp"), ("FrequentContainerdRestart", "False", "NoFrequentContainerdRestart"),
        ("NetworkUnavailable", "False", "RouteCreated"), ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"), ("PIDPressure", "False", "KubeletHasSufficientPID"), ("Ready", "True", "KubeletReady"),
    ];

    /// <summary>The name of the node with this number.</summary>
    public static string NameOf(int number) => $"aks-pool{number % 4}-31415926-vmss{number:x6}";

    /// <summary>A node that is ready.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="address">Its InternalIP.</param>
    /// <param name="number">What else tells it from others follows from it.</param>
    /// <param name="heartbeat">When its kubelet was heard of last.</param>
    public static JsonObject Create(string name, string address, int number, DateTimeOffset heartbeat)
    {
        var time = heartbeat.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        var conditions = Conditions.Select(condition => $$"""
            {"type":"{{condition.Type}}","status":"{{condition.Healthy}}","lastHeartbeatTime":"{{time}}","lastTransitionTime":"2026-01-02T03:04:05Z","reason":"{{condition.Reason}}","message":"{{condition.Reason}} according to the last report"}
            """);
        var images = Enumerable.Range(0, Images).Select(i => $$"""
            {"names":["registry.example/platform/component-{{i}}@sha256:{{i:x4}}{{new string('a', 60)}}","registry.example/platform/component-{{i}}:v1.{{i}}.{{number % 7}}"],"sizeBytes":{{(i + 1) * 12_345_678}}}
            """);
        return JsonNode.Parse($$"""
            {
              "metadata": {
                "name": "{{name}}", "uid": "00000000-0000-4000-8000-{{number:x12}}", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {
                  "agentpool": "pool{{number % 4}}", "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/instance-type": "Standard_D8s_v5", "beta.kubernetes.io/os": "linux",
                  "failure-domain.beta.kubernetes.io/region": "westeurope", "failure-domain.beta.kubernetes.io/zone": "westeurope-{{number % Zones}}",
                  "kubernetes.azure.com/agentpool": "pool{{number % 4}}", "kubernetes.azure.com/cluster": "MC_example_example_westeurope", "kubernetes.azure.com/mode": "user",
                  "kubernetes.azure.com/node-image-version": "AKSUbuntu-2204gen2containerd-202601.02.0", "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
                  "kubernetes.azure.com/os-sku": "Ubuntu", "kubernetes.azure.com/role": "agent", "kubernetes.azure.com/storageprofile": "managed",
                  "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "{{name}}", "kubernetes.io/os": "linux", "kubernetes.io/role": "agent",
                  "node.kubernetes.io/instance-type": "Standard_D8s_v5", "storageprofile": "managed",
                  "topology.kubernetes.io/region": "westeurope", "topology.kubernetes.io/zone": "westeurope-{{number % Zones}}"
                },
                "annotations": {
                  "csi.volume.kubernetes.io/nodeid": "{\"disk.csi.azure.com\":\"{{name}}\",\"file.csi.azure.com\":\"{{name}}\"}",
                  "node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"
                },
                "managedFields": {{ManagedFields}}
              },
              "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"], "providerID": "azure:///subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/mc_example/providers/Microsoft.Compute/virtualMachineScaleSets/aks-pool{{number % 4}}/virtualMachines/{{number}}"},
              "status": {
                "addresses": [{"type":"InternalIP","address":"{{address}}"},{"type":"Hostname","address":"{{name}}"}],
                "allocatable": {"cpu":"7820m","ephemeral-storage":"119703055367","hugepages-1Gi":"0","hugepages-2Mi":"0","memory":"28376704Ki","pods":"110"},
                "capacity": {"cpu":"8","ephemeral-storage":"129886128Ki","hugepages-1Gi":"0","hugepages-2Mi":"0","memory":"32863872Ki","pods":"110"},
                "conditions": [{{string.Join(',', conditions)}}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port":10250} },
                "images": [{{string.Join(',', images)}}],
                "nodeInfo": {"architecture":"amd64","bootID":"00000000-0000-4000-8000-{{number:x12}}","containerRuntimeVersion":"containerd://1.7.27-1","kernelVersion":"5.15.0-1090-azure","kubeProxyVersion":"","kubeletVersion":"v1.33.1","machineID":"{{number:x32}}","operatingSystem":"linux","osImage":"Ubuntu 22.04.5 LTS","systemUUID":"00000000-0000-4000-8000-{{number:x12}}"}
              }
            }
            """)!.AsObject();
    }
}
