using Xunit;

// Tests freeze and kill the daemons that they share.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
