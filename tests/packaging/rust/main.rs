use cloudsignal::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let said: Vec<String> = std::env::args().skip(1).collect();
    let [url, ca, username, password] = &said[..] else { return Err("URL CA USERNAME PASSWORD".into()) };
    let login = Client::builder(&**url).ca_file(ca).password(&**username, &**password);

    let client = login.connect().await?;
    let mut greetings = client.subscribe("packaging/+").await?;
    client.publish("packaging/rust", "hello").await?;
    let greeting = greetings.recv().await.ok_or("the client was closed")?;
    println!("{}: {}", greeting.topic(), greeting.text()?);
    Ok(())
}
