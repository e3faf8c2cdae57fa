using System.Text;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Configuration;

namespace Peerd.Tests.Chart;

/// <summary>What a render of the chart consists of, read with the types of the Kubernetes client: an unknown field fails.</summary>
internal sealed class Manifests
{
    // Definitions that are no part of Kubernetes.
    private static readonly Dictionary<string, Type> OtherTypes = new(StringComparer.Ordinal)
    {
        ["monitoring.coreos.com/v1/PodMonitor"] = typeof(PodMonitor),
        ["monitoring.coreos.com/v1/PrometheusRule"] = typeof(PrometheusRule),
        ["cert-manager.io/v1/Certificate"] = typeof(CertManagerCertificate),
    };

    private Manifests(string text)
    {
        Text = text;
        All = [.. KubernetesYaml.LoadAllFromString(text, OtherTypes, strict: true).Cast<IKubernetesObject<V1ObjectMeta>>()];
    }

    public string Text { get; }

    public IReadOnlyList<IKubernetesObject<V1ObjectMeta>> All { get; }

    /// <summary>The pods' DaemonSet.</summary>
    public V1DaemonSet Node => Get<V1DaemonSet>("peerd");

    /// <summary>The container that serves.</summary>
    public V1Container Server => Assert.Single(Node.Spec.Template.Spec.Containers);

    /// <summary>All pods, of hooks, too.</summary>
    public IEnumerable<V1PodSpec> Pods => All.OfType<V1DaemonSet>().Select(set => set.Spec.Template.Spec).Concat(All.OfType<V1Job>().Select(job => job.Spec.Template.Spec));

    /// <summary>The settings that the node gets, and its name.</summary>
    public IConfigurationRoot Settings => new ConfigurationBuilder()
        .AddJsonStream(new MemoryStream(Encoding.UTF8.GetBytes(SettingsJson)))
        .AddInMemoryCollection(Server.Env.Select(variable => KeyValuePair.Create(variable.Name.Replace("__", ":", StringComparison.Ordinal), (string?)(variable.Value ?? "n1"))))
        .Build();

    /// <summary>What its containers find as <c>settings.json</c>.</summary>
    public string SettingsJson
    {
        get
        {
            var template = Node.Spec.Template;
            var item = Assert.Single(template.Spec.Volumes.Single(volume => volume.Name == "settings").DownwardAPI.Items);
            Assert.Equal("settings.json", item.Path);
            return Assert.Single(template.Metadata.Annotations, annotation => item.FieldRef.FieldPath == $"metadata.annotations['{annotation.Key}']").Value;
        }
    }

    /// <summary>Renders the chart with these options.</summary>
    public static async Task<Manifests> OfAsync(params string[] options) => new(await ChartTool.TemplateAsync(options));

    public T Get<T>(string name)
        where T : IKubernetesObject<V1ObjectMeta> => Assert.Single(All.OfType<T>(), item => item.Metadata.Name == name);

    /// <summary>All containers of a pod.</summary>
    public static IEnumerable<V1Container> ContainersOf(V1PodSpec pod) => pod.Containers.Concat(pod.InitContainers ?? []);
}
