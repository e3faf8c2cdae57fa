namespace Peerd.EndToEnd.Pulls;

/// <summary>Tests that share one <see cref="PullSite"/>.</summary>
[CollectionDefinition(Name)]
public sealed class PullSiteDefinition : ICollectionFixture<PullSite>
{
    /// <summary>Name of the collection.</summary>
    public const string Name = "pull site";
}
